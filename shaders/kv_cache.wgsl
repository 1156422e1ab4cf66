// kv_cache: where the key (or value) of one token lies.   K, V: [slots, Nkv, CAPACITY, D]: the keys of a sequence and
//   head are one contiguous block. The only place that knows; every kernel on the cache asks it. Needs KV_HEADS.
override CAPACITY: u32;   // tokens of a sequence that the cache holds

// The row (of D values) of a kv head at a sequence's position.
fn cache_row(slot: u32, kv_head: u32, position: u32) -> u32 {
  return (slot * KV_HEADS + kv_head) * CAPACITY + position;
}
