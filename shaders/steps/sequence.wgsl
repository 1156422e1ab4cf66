// steps/sequence: the run's tokens are of one sequence, one behind another: token t lies in cache row past + t.
//   Takes the place of `step` in kernels that touch a sequence's memory; steps/batch is the other kind of run.
struct Step {
  tokens: u32,   // T, tokens of this run
  past: u32,     // tokens of the sequence that are in the cache already
  slot: u32,     // where the sequence's memory lies
  rows: u32,     // of a sequence at most, where tokens move on by themselves (moves/*); else 0
}

// The sequence's row that token t of the run takes.
fn row_of(t: u32) -> u32 {
  return step.past + t;
}

fn slot_of(t: u32) -> u32 {
  return step.slot;
}

// The tokens of the run's n-th sequence: first_of(n) … first_of(n) + count_of(n) − 1.
fn first_of(n: u32) -> u32 {
  return 0u;
}

fn count_of(n: u32) -> u32 {
  return step.tokens;
}
