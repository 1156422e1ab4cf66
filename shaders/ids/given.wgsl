// ids/given: the token that the host names; all else of the run it has said too.
fn idOf(t: u32) -> u32 {
  return ids[t];
}

fn moveOn(t: u32) {}
