// chunks/five: the same of five bits, of whose high ones a quad has those of four blocks.   uses codes/five, octets/rows and
// reads/tiles
fn words256(row: u32, chunk: u32) -> Words256 {
  let at = low_run(row, chunk);
  let high = high_run(row, chunk);
  let i = run_quad(high, 0u);
  let j = run_quad(high, 1u);
  return Words256(
    Words32(run_quad(at, 0u), i.x),
    Words32(run_quad(at, 1u), i.y),
    Words32(run_quad(at, 2u), i.z),
    Words32(run_quad(at, 3u), i.w),
    Words32(run_quad(at, 4u), j.x),
    Words32(run_quad(at, 5u), j.y),
    Words32(run_quad(at, 6u), j.z),
    Words32(run_quad(at, 7u), j.w),
  );
}
