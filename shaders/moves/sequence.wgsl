// moves/sequence: the run's only token goes on to its sequence's next row.   uses steps/sequence, as moves/batch
fn move_row(t: u32) {
  step.past += 1u;
}
