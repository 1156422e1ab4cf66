// chunks/six: the same of six bits, of whose high ones a quad has those of two blocks.   uses weights/q6_k, octets/rows and
// reads/tiles
fn words256(row: u32, chunk: u32) -> Words256 {
  let at = low_run(row, chunk);
  let high = high_run(row, chunk);
  let i = run_quad(high, 0u);
  let j = run_quad(high, 1u);
  let k = run_quad(high, 2u);
  let l = run_quad(high, 3u);
  return Words256(
    Words32(run_quad(at, 0u), i.xy),
    Words32(run_quad(at, 1u), i.zw),
    Words32(run_quad(at, 2u), j.xy),
    Words32(run_quad(at, 3u), j.zw),
    Words32(run_quad(at, 4u), k.xy),
    Words32(run_quad(at, 5u), k.zw),
    Words32(run_quad(at, 6u), l.xy),
    Words32(run_quad(at, 7u), l.zw),
  );
}
