// ids/given: the token that the host names.
fn idOf(t: u32) -> u32 {
  return ids[t];
}
