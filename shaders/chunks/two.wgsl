// chunks/two: the same of two bits, two blocks to a quad.   uses weights/q2_k, octets/rows and reads/tiles
fn words256(row: u32, chunk: u32) -> Words256 {
  let at = low_run(row, chunk);
  let i = run_quad(at, 0u);
  let j = run_quad(at, 1u);
  let k = run_quad(at, 2u);
  let l = run_quad(at, 3u);
  return Words256(i.xy, i.zw, j.xy, j.zw, k.xy, k.zw, l.xy, l.zw);
}
