// high/none: a chunk of 256 values has no codes whose bits several blocks share a texel for, or is not better off for keeping
// them (q6_k, whose sixteen words would take too much room).   uses weights/*
alias High = u32;

fn high256(_row: u32, _chunk: u32) -> High {
  return 0u;
}

fn words_at(row: u32, block: u32, _high: High) -> Words32 {
  return words32(row, block);
}
