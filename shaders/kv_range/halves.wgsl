// kv_range/halves: a cache of f16 holds nothing that f16 does not.
struct KvScales {
  key: vec2f,
  value: vec2f,
}

fn kv_scales(kv_head: u32, last_page: u32, lane: u32) -> KvScales {
  return KvScales(vec2f(1.0), vec2f(1.0));
}
