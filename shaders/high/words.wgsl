// high/words: the bits of a chunk's codes that lie above the others, a word to a block.   uses codes/five or weights/q3_k
struct High {
  first: vec4u,
  second: vec4u,
}

fn high256(row: u32, chunk: u32) -> High {
  let last = ROW / 4u - 1u; // what is behind a row's end belongs to no block
  let at = HIGH / 4u + 2u * chunk;
  return High(high_quad(row, min(at, last)), high_quad(row, min(at + 1u, last)));
}

fn words_at(row: u32, block: u32, high: High) -> Words32 {
  let i = block % 8u;
  return Words32(low32(row, block), word_at(select(high.first, high.second, i > 3u), i % 4u));
}
