// chunks/three: the same of three bits, of whose high ones a quad has those of four blocks.   uses weights/q3_k, octets/rows
// and reads/tiles
fn words256(row: u32, chunk: u32) -> Words256 {
  let at = low_run(row, chunk);
  let high = high_run(row, chunk);
  let i = run_quad(at, 0u);
  let j = run_quad(at, 1u);
  let k = run_quad(at, 2u);
  let l = run_quad(at, 3u);
  let m = run_quad(high, 0u);
  let n = run_quad(high, 1u);
  return Words256(
    Words32(i.xy, m.x),
    Words32(i.zw, m.y),
    Words32(j.xy, m.z),
    Words32(j.zw, m.w),
    Words32(k.xy, n.x),
    Words32(k.zw, n.y),
    Words32(l.xy, n.z),
    Words32(l.zw, n.w),
  );
}
