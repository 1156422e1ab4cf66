// attention_chunk: how the cached keys are dealt out to SPLITS workgroups; part of attention_split and attention_merge.
//   Split s takes keys s·chunk … (s+1)·chunk − 1, whole tiles of KEYS; the last splits of a short context get none.
override SPLITS: u32;
const KEYS = 64u;

fn chunk_of(length: u32) -> u32 {
  let tiles = (length + KEYS - 1u) / KEYS;
  return (tiles + SPLITS - 1u) / SPLITS * KEYS;
}

// where the part of a head, counted through the heads of all tokens, begins
fn part_of(head: u32, split: u32) -> u32 {
  return (head * SPLITS + split) * (D4 + 1u);
}
