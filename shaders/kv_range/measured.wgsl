// kv_range/measured: what takes all keys, and all values, of a kv head into f16's range, and back. Of a workgroup's 4 · WIDTH
//   lanes each gets both, over the pages 0 … last_page of its sequence.   ranges: [SLOT_PAGES, Nkv] (kv_ranges).
//   Uses scaled/powers
@group(0) @binding(5) var<storage, read> ranges: array<vec2u>;
var<workgroup> largestKey: atomic<u32>;
var<workgroup> largestValue: atomic<u32>;

struct KvScales {
  key: vec2f,    // there, back
  value: vec2f,
}

fn kv_scales(kv_head: u32, last_page: u32, lane: u32) -> KvScales {
  var most = vec2u(0u);
  for (var page = lane; page <= last_page; page += 4u * WIDTH) {
    most = max(most, ranges[page * KV_HEADS + kv_head]);
  }
  atomicMax(&largestKey, most.x);
  atomicMax(&largestValue, most.y);
  workgroupBarrier();
  return KvScales(there_and_back(atomicLoad(&largestKey)), there_and_back(atomicLoad(&largestValue)));
}
