// chunks/eight: the same of eight bits.   uses weights/q8_0, octets/rows and reads/tiles
fn words256(row: u32, chunk: u32) -> Words256 {
  let at = low_run(row, chunk);
  return Words256(
    Words32(run_quad(at, 0u), run_quad(at, 1u)),
    Words32(run_quad(at, 2u), run_quad(at, 3u)),
    Words32(run_quad(at, 4u), run_quad(at, 5u)),
    Words32(run_quad(at, 6u), run_quad(at, 7u)),
    Words32(run_quad(at, 8u), run_quad(at, 9u)),
    Words32(run_quad(at, 10u), run_quad(at, 11u)),
    Words32(run_quad(at, 12u), run_quad(at, 13u)),
    Words32(run_quad(at, 14u), run_quad(at, 15u)),
  );
}
