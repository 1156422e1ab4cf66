// moves/batch: token t goes on to its sequence's next row.   uses steps/batch, of which `step` may be written
fn move_row(t: u32) {
  step.each[t].x += 1u;
}
