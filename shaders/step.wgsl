// step: what changes from run to run. Read-only, so values from it are uniform and may bound loops with barriers.
struct Step {
  tokens: u32,   // T, tokens of this run
  past: u32,     // tokens already in the cache
}
