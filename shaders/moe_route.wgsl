// moe_route: for each token the USED experts of the largest logits, the largest first, and what each contributes
//   share[j] = exp(logit[j] − logit[0]) / Z   Z: the sum of the same over those experts, or over all (ALL 1)
//   logits: [T, E] f32    ids: [T, USED] u32    shares: [T, USED] f32
//   one workgroup per token; the next best is the best of those that come after the last one. Uses reduce/best
override E: u32;
override USED: u32;
override ALL: u32;
override LANES: u32;

@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read_write> ids: array<u32>;
@group(0) @binding(2) var<storage, read_write> shares: array<f32>;

var<workgroup> found: Best;
var<workgroup> sums: array<f32, LANES>;

fn comesAfter(a: Best, b: Best) -> bool {
  return b.key < a.key || (b.key == a.key && b.index > a.index);
}

@compute @workgroup_size(LANES)
fn moe_route(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = group.x * E;
  let at = group.x * USED;
  var last = Best(0xffffffffu, 0u); // before every number
  var largest = 0.0;
  var total = 0.0;
  for (var j = 0u; j < USED; j++) {
    var best = Best(0u, 0xffffffffu);
    for (var e = lane; e < E; e += LANES) {
      let candidate = Best(keyOf(logits[row + e]), e);
      if (comesAfter(last, candidate)) {
        best = better(best, candidate);
      }
    }
    best = bestOfLanes(best, lane);
    if (lane == 0u) {
      found = best;
    }
    last = workgroupUniformLoad(&found);
    let logit = logits[row + last.index];
    largest = select(largest, logit, j == 0u);
    let share = exp(logit - largest);
    total += share;
    if (lane == 0u) {
      ids[at + j] = last.index;
      shares[at + j] = share;
    }
  }
  if (ALL == 1u) {
    var sum = 0.0;
    for (var e = lane; e < E; e += LANES) {
      sum += exp(logits[row + e] - largest);
    }
    sums[lane] = sum;
    workgroupBarrier();
    total = 0.0;
    for (var i = 0u; i < LANES; i++) {
      total += sums[i];
    }
  }
  if (lane == 0u) {
    for (var j = 0u; j < USED; j++) {
      shares[at + j] /= total;
    }
  }
}
