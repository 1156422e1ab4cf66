// chunks/four: the codes of a row's 256 values, of four bits.   uses codes/four, octets/rows and reads/tiles
fn words256(row: u32, chunk: u32) -> Words256 {
  let at = low_run(row, chunk);
  return Words256(
    run_quad(at, 0u),
    run_quad(at, 1u),
    run_quad(at, 2u),
    run_quad(at, 3u),
    run_quad(at, 4u),
    run_quad(at, 5u),
    run_quad(at, 6u),
    run_quad(at, 7u),
  );
}
