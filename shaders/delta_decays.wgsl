// delta_decays: the gates of a chunk and how much of token j is left at token i; uses step, delta_rows, delta_gates
//   D_ij = e^(g_(j+1) + … + g_i) for i ≥ j, else 0. Sums between two tokens are added up, never taken as differences
//   of sums from the chunk's start: after a strong decay those would cancel.
//   Tokens beyond the run have beta = 0 and g = 0: they neither write nor forget.
override U_WIDTH: u32;  // row width of u
override SCALE: f32;    // Dk^-0.5

@group(0) @binding(1) var<storage, read> u: array<f32>;
@group(0) @binding(2) var<storage, read> A_log: array<f32>;
@group(0) @binding(3) var<storage, read> dt_bias: array<f32>;
@group(0) @binding(5) var<storage, read_write> factors: array<vec4f>;

var<workgroup> beta: array<f32, CHUNK>;
var<workgroup> g: array<f32, CHUNK>;
var<workgroup> normK: array<f32, CHUNK>;      // 1 / |k_i|
var<workgroup> normQ: array<f32, CHUNK>;      // SCALE / |q_i|
var<workgroup> D: array<f32, CHUNK * CHUNK>;

fn readGates(head: u32, token: u32, i: u32) {
  let at = token * U_WIDTH + U_WIDTH - 2u * VALUE_HEADS + head;
  beta[i] = 0.0;
  g[i] = 0.0;
  if (token < step.tokens) {
    beta[i] = sigmoid(u[at]);
    g[i] = logDecay(u[at + VALUE_HEADS], A_log[head], dt_bias[head]);
  }
}

fn decaysSince(j: u32, rows: u32) {
  var sum = 0.0;
  for (var i = 0u; i < rows; i++) {
    if (i > j) { sum += g[i]; }
    D[i * CHUNK + j] = select(exp(sum), 0.0, i < j);
  }
}

fn writeFactors(at: u32, j: u32, rows: u32) {
  var before = 0.0;
  var after = 0.0;
  for (var i = 0u; i < rows; i++) {
    if (i <= j) { before += g[i]; } else { after += g[i]; }
  }
  let start = exp(before);
  factors[at * CHUNK + j] = vec4f(start * normK[j], start * normQ[j], exp(after) * normK[j], exp(before + after));
}
