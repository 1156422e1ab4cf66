// steps/batch: the run's tokens are of as many sequences, each with its own length and its own slot of memory.
//   The same functions as steps/sequence. The array's stride suits a uniform buffer too.
struct Step {
  tokens: u32,                 // T, tokens and sequences of this run
  past: u32,
  slot: u32,
  rows: u32,                   // as in steps/sequence
  each: array<vec4u, 64>,      // (row, slot) of token t
}

fn row_of(t: u32) -> u32 {
  return step.each[t].x;
}

fn slot_of(t: u32) -> u32 {
  return step.each[t].y;
}

fn first_of(n: u32) -> u32 {
  return n;
}

fn count_of(n: u32) -> u32 {
  return 1u;
}
