// quantise_rows: rows of x in bytes, by blocks of 32 values: code = round(x / d), d = max |x| / 127
//   x: [T, K] f32    of each block the codes, two vec4u, four to a word: the first four values of each piece, then the others
//   and two factors: d, and d · Σ code, which is what a constant beside the other codes is multiplied by
//   one invocation a block; uses rows/planes, and bytes/put_* for where they go
override K: u32;

const LANES = 64u;

// Of finite values the order of the bits is that of the magnitudes; what is not finite is larger.
fn magnitude8(v: Eight) -> u32 {
  let both = max(bitcast<vec4u>(v.lo) & vec4u(0x7fffffffu), bitcast<vec4u>(v.hi) & vec4u(0x7fffffffu));
  return max(max(both.x, both.y), max(both.z, both.w));
}

// To the nearest, ties to even: behind 3 · 2²² there is no room for a fraction. (Conversions saturate, one by one.)
fn rounded(v: vec4f) -> vec4i {
  return bitcast<vec4i>(v + 12582912.0) - vec4i(0x4b400000);
}

@compute @workgroup_size(LANES)
fn quantise_rows(@builtin(global_invocation_id) id: vec3u) {
  let blocks = K / 32u;
  let block = id.x;
  if (block >= blocks) {
    return;
  }
  let t = id.y;
  var most = 0u;
  for (var i = 0u; i < 4u; i++) {
    most = max(most, magnitude8(x8(t, 4u * block + i)));
  }
  let d = bitcast<f32>(most) / 127.0;
  let inverse = select(1.0 / d, 0.0, most < 0x01000000u); // of rows of next to nothing nothing is left
  var lo = vec4u();
  var hi = vec4u();
  var sums = vec4i();
  for (var i = 0u; i < 4u; i++) {
    let value = x8(t, 4u * block + i);
    let first = rounded(value.lo * inverse);
    let second = rounded(value.hi * inverse);
    sums += first + second;
    let here = vec4u(i) == vec4u(0u, 1u, 2u, 3u);
    lo = select(lo, vec4u(pack4xI8(first)), here);
    hi = select(hi, vec4u(pack4xI8(second)), here);
  }
  putBlock(t, block, lo, hi, vec2f(d, d * f32(sums.x + sums.y + sums.z + sums.w)));
}
