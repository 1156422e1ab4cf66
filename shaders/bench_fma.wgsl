// bench_fma: y[i] = twelve independent chains of 6 · ROUNDS fused multiply-adds: how fast f32 arithmetic can be at all
//   y: [invocations] f32
// Six to a turn of the loop: at its end a processor masks and stores each chain, which takes longer than one of them. Of
// eight to twenty-four chains twelve were the fastest on llvmpipe.
override ROUNDS: u32;

@group(0) @binding(0) var<storage, read_write> y: array<f32>;

struct Chains {
  a: f32,
  b: f32,
  c: f32,
  d: f32,
  e: f32,
  f: f32,
  g: f32,
  h: f32,
  i: f32,
  j: f32,
  k: f32,
  l: f32,
}

fn linked(s: Chains, by: f32, plus: f32) -> Chains {
  return Chains(
    fma(s.a, by, plus),
    fma(s.b, by, plus),
    fma(s.c, by, plus),
    fma(s.d, by, plus),
    fma(s.e, by, plus),
    fma(s.f, by, plus),
    fma(s.g, by, plus),
    fma(s.h, by, plus),
    fma(s.i, by, plus),
    fma(s.j, by, plus),
    fma(s.k, by, plus),
    fma(s.l, by, plus),
  );
}

@compute @workgroup_size(64)
fn bench_fma(@builtin(global_invocation_id) id: vec3u) {
  let plus = f32(id.x) * 1e-9;
  let by = 1.0 - 1e-7 * plus;
  let n = plus + vec4f(0.0, 1.0, 2.0, 3.0);
  let m = n + 4.0;
  let l = n + 8.0;
  var s = Chains(n.x, n.y, n.z, n.w, m.x, m.y, m.z, m.w, l.x, l.y, l.z, l.w);
  for (var i = 0u; i < ROUNDS; i++) {
    s = linked(s, by, plus);
    s = linked(s, by, plus);
    s = linked(s, by, plus);
    s = linked(s, by, plus);
    s = linked(s, by, plus);
    s = linked(s, by, plus);
  }
  y[id.x] = s.a + s.b + s.c + s.d + s.e + s.f + s.g + s.h + s.i + s.j + s.k + s.l;
}
