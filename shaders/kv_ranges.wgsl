// kv_ranges: the largest magnitudes of keys and values in a page of the run's sequence, as the bits of f32
//   K, V: the cache    ranges: [SLOT_PAGES, Nkv] of (max |K|, max |V|)    one workgroup (page of the sequence, kv head);
//   pages behind its last are left alone. Uses steps/sequence, kv_cache, kv_read/* and scaled/powers
override KV_HEADS: u32;
override D: u32;
@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(5) var<storage, read_write> ranges: array<vec2u>;

const LANES = 64u;
override D4: u32 = D / 4u;
var<workgroup> largestKey: atomic<u32>;
var<workgroup> largestValue: atomic<u32>;

@compute @workgroup_size(LANES)
fn kv_ranges(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let length = step.past + step.tokens;
  let first = group.x * PAGE;
  if (first >= length) { return; }
  let row = cache_row(step.slot, group.y, first);
  var most = vec2u(0u);
  for (var i = lane; i < min(PAGE, length - first) * D4; i += LANES) {
    let key = magnitude4(key4(row + i / D4, i % D4));
    most = max(most, vec2u(key, magnitude4(value4(row + i / D4, i % D4))));
  }
  atomicMax(&largestKey, most.x);
  atomicMax(&largestValue, most.y);
  workgroupBarrier();
  if (lane == 0u) {
    ranges[group.x * KV_HEADS + group.y] = vec2u(atomicLoad(&largestKey), atomicLoad(&largestValue));
  }
}
