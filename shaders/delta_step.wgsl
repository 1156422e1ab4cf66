// delta_step: the gated delta rule token by token, and the gated norm after it. Per value head and token, with
//   qn = q / √(Σq² + 1e-6) · SCALE,  kn = k / √(Σk² + 1e-6):
//   S ← e^g·S;  d = beta·(v − Sᵀkn);  S ← S + kn dᵀ;  o = Sᵀqn;  y = o / rms(o) · norm · silu(z)
//   u: [T, STRIDE] = q|k|v (C) | z (Nv·Dv) | b (Nv) | a (Nv)    y: [T, Nv·Dv]
//   memory: [slots, STATE]: the convolution's window [4, C], then S [Nv, Dk, Dv], updated in place
//   one workgroup per value head and sequence; invocation (r, c) has four columns c of S and every ROWS-th group of four rows
//   uses steps/*, delta_gates, and conv + delta_conv_now or delta_conv_done
// S is read once for both products: Sᵀqn after the update is e^g·(Sᵀqn) + d·(kn·qn). Norms are applied to the sums.
override STRIDE: u32;
override KEY_HEADS: u32;
override VALUE_HEADS: u32;
override RUN: u32;             // neighbouring value heads that share a key head
override DK: u32;
override DV: u32;
override SCALE: f32;           // Dk^-0.5
override EPS: f32;             // of the gated norm
override ROWS: u32;            // row lanes
override QUADS: u32 = DV / 4u;
override WG: u32 = ROWS * QUADS;
override KEY_QUADS: u32 = DK / 4u;

@group(0) @binding(0) var<storage, read> u: array<vec4f>;
@group(0) @binding(2) var<storage, read> A_log: array<f32>;
@group(0) @binding(3) var<storage, read> dt_bias: array<f32>;
@group(0) @binding(4) var<storage, read> norm: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> memory: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(7) var<storage, read> step: Step;

var<workgroup> q: array<vec4f, KEY_QUADS>;
var<workgroup> k: array<vec4f, KEY_QUADS>;
var<workgroup> v: array<vec4f, QUADS>;
var<workgroup> sumK: array<vec4f, WG>;      // partial Sᵀk of each row lane
var<workgroup> sumQ: array<vec4f, WG>;
var<workgroup> dots: array<vec4f, ROWS>;    // partial Σk², Σq², Σq·k
var<workgroup> delta: array<vec4f, QUADS>;
var<workgroup> squares: array<f32, QUADS>;

@compute @workgroup_size(WG)
fn delta_step(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let head = group.x;
  let c = lane % QUADS;
  let r = lane / QUADS;
  let first = first_of(group.y);
  let base = slot_of(first) * STATE + C;
  for (var t = first; t < first + count_of(group.y); t++) {
    loadHead(t, head, lane);
    workgroupBarrier();
    partialSums(base, head, r, c);
    workgroupBarrier();
    let row = t * (STRIDE / 4u);
    let b = scalar(t * STRIDE + STRIDE - 2u * VALUE_HEADS + head);
    let a = scalar(t * STRIDE + STRIDE - VALUE_HEADS + head);
    let decay = exp(logDecay(a, A_log[head], dt_bias[head]));
    var o = vec4f(0.0);
    if (r == 0u) { o = readOut(c, decay, sigmoid(b)); }
    workgroupBarrier();
    update(base, head, r, c, decay);
    if (r == 0u) {
      let z = u[row + (STRIDE - 2u * VALUE_HEADS) / 4u - (VALUE_HEADS - head) * QUADS + c];
      y[(t * VALUE_HEADS + head) * QUADS + c] = o * inverseRms() * norm[c] * silu4(z);
    }
    workgroupBarrier();
  }
}

// q, k and v of this head; the first value head of a key head owns its channels.
fn loadHead(t: u32, head: u32, lane: u32) {
  let keyHead = head / RUN % KEY_HEADS;
  let first = head == keyHead * RUN;
  for (var i = lane; i < KEY_QUADS; i += WG) {
    let c4 = keyHead * KEY_QUADS + i;
    q[i] = convolved(t, c4, first);
    k[i] = convolved(t, KEY_HEADS * KEY_QUADS + c4, first);
  }
  for (var i = lane; i < QUADS; i += WG) {
    v[i] = convolved(t, 2u * KEY_HEADS * KEY_QUADS + head * QUADS + i, true);
  }
}

fn partialSums(base: u32, head: u32, r: u32, c: u32) {
  var sk = vec4f(0.0);
  var sq = vec4f(0.0);
  for (var i = r; i < KEY_QUADS; i += ROWS) {
    let at = base + (head * DK + 4u * i) * QUADS + c;
    let s0 = memory[at];
    let s1 = memory[at + QUADS];
    let s2 = memory[at + 2u * QUADS];
    let s3 = memory[at + 3u * QUADS];
    let ki = k[i];
    let qi = q[i];
    sk += ki.x * s0 + ki.y * s1 + ki.z * s2 + ki.w * s3;
    sq += qi.x * s0 + qi.y * s1 + qi.z * s2 + qi.w * s3;
  }
  sumK[r * QUADS + c] = sk;
  sumQ[r * QUADS + c] = sq;
  if (c > 0u) { return; }
  var sums = vec4f(0.0);
  for (var i = r; i < KEY_QUADS; i += ROWS) {
    sums += vec4f(dot(k[i], k[i]), dot(q[i], q[i]), dot(q[i], k[i]), 0.0);
  }
  dots[r] = sums;
}

// The lanes' sums joined: notes what S changes by, and gives o.
fn readOut(c: u32, decay: f32, beta: f32) -> vec4f {
  var sk = vec4f(0.0);
  var sq = vec4f(0.0);
  var sums = vec4f(0.0);
  for (var r = 0u; r < ROWS; r++) {
    sk += sumK[r * QUADS + c];
    sq += sumQ[r * QUADS + c];
    sums += dots[r];
  }
  let normK = inverseSqrt(sums.x + 1e-6);
  let normQ = inverseSqrt(sums.y + 1e-6) * SCALE;
  let d = beta * (v[c] - decay * normK * sk);
  let o = decay * normQ * sq + d * (normK * normQ * sums.z);
  delta[c] = normK * d;
  squares[c] = dot(o, o);
  return o;
}

fn update(base: u32, head: u32, r: u32, c: u32, decay: f32) {
  let d = delta[c];
  for (var i = r; i < KEY_QUADS; i += ROWS) {
    let at = base + (head * DK + 4u * i) * QUADS + c;
    let ki = k[i];
    memory[at] = decay * memory[at] + ki.x * d;
    memory[at + QUADS] = decay * memory[at + QUADS] + ki.y * d;
    memory[at + 2u * QUADS] = decay * memory[at + 2u * QUADS] + ki.z * d;
    memory[at + 3u * QUADS] = decay * memory[at + 3u * QUADS] + ki.w * d;
  }
}

fn inverseRms() -> f32 {
  var sum = 0.0;
  for (var i = 0u; i < QUADS; i++) { sum += squares[i]; }
  return inverseSqrt(sum / f32(DV) + EPS);
}

fn scalar(index: u32) -> f32 {   // one element of u; the others may be anything, NaN too
  let four = u[index / 4u];
  let chosen = select(vec4f(0.0), four, vec4u(index % 4u) == vec4u(0u, 1u, 2u, 3u));
  return chosen.x + chosen.y + chosen.z + chosen.w;
}
