// kv_cache: where the key (or value) of one position lies.   K, V: [Nkv, CAPACITY, D], kv-head-major: the keys of a
//   head are one contiguous block. The only place that knows; every kernel on the cache asks it.
override CAPACITY: u32;   // positions that the cache holds

// The row (of D values) of a kv head at a position.
fn cache_row(kv_head: u32, position: u32) -> u32 {
  return kv_head * CAPACITY + position;
}
