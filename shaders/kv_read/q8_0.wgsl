// kv_read/q8_0: keys and values in signed bytes, code · d of each 32:   a row is D / 4 words of codes, then the f16 scales,
//   two to a word.
override ROW: u32 = D / 4u + (D + 63u) / 64u;   // words

fn scale_of(scales: u32, d4: u32) -> f32 {
  let both = unpack2x16float(scales);
  return select(both.x, both.y, d4 / 8u % 2u == 1u);
}

fn decoded(codes: u32, scales: u32, d4: u32) -> vec4f {
  return vec4f(unpack4xI8(codes)) * scale_of(scales, d4);
}

fn key4(row: u32, d4: u32) -> vec4f {
  return decoded(K[row * ROW + d4], K[row * ROW + D / 4u + d4 / 16u], d4);
}

fn value4(row: u32, d4: u32) -> vec4f {
  return decoded(V[row * ROW + d4], V[row * ROW + D / 4u + d4 / 16u], d4);
}
