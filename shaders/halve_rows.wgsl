// halve_rows: rows of x taken into f16's range, rounded to it, and what leads back: h[t,k] = x[t,k] · 2^(14 − e) and
//   s[t] = 2^(e − 14), where 2^e ≤ max_k |x[t,k]| < 2^(e + 1), as row_scales has it.
//   x: [T, K] f32    h: of each row 4 · ⌈K / 32⌉ pieces of eight halves, which behind K are 0    s: [T]
//   one workgroup a row; uses rows/*, scaled/powers, scaled/largest, scaled/x and halves/*
override K: u32;

@group(0) @binding(1) var<storage, read_write> h: array<vec4u>;
@group(0) @binding(3) var<storage, read_write> s: array<f32>;

@compute @workgroup_size(LANES)
fn halve_rows(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = group.x;
  let scales = there_and_back(largestOf(row, lane));
  if (lane == 0u) {
    s[row] = scales.y;
  }
  let pieces = (K + 31u) / 32u * 4u;
  for (var piece = lane; piece < pieces; piece += LANES) {
    var value = Eight();
    if (piece < (K + 7u) / 8u) {
      value = x8(row, piece);
    }
    let lo = value.lo * scales.x;
    let hi = value.hi * scales.x;
    h[row * pieces + piece] = vec4u(
      packedHalves(lo.x, lo.y),
      packedHalves(lo.z, lo.w),
      packedHalves(hi.x, hi.y),
      packedHalves(hi.z, hi.w),
    );
  }
}
