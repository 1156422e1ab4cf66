// kv_cache: where the key (or value) of one token lies.   K, V: [pages, Nkv, PAGE, D].   A sequence's rows are dealt out to
//   pages in their order; which those are says its slot's row of the table, [slots, SLOT_PAGES] u32. The only place that
//   knows; every kernel on the cache asks it. Needs KV_HEADS.
override SLOT_PAGES: u32;   // pages of the longest sequence
@group(0) @binding(8) var<storage, read> page_table: array<u32>;
const PAGE = 64u;           // tokens of a page (engine/ops/kv-cache.ts)

// The row (of D values) of a kv head at a sequence's position. The rows of a page's other positions lie around it in
// order: who walks a page asks once.
fn cache_row(slot: u32, kv_head: u32, position: u32) -> u32 {
  return (page_table[slot * SLOT_PAGES + position / PAGE] * KV_HEADS + kv_head) * PAGE + position % PAGE;
}
