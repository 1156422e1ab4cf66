// q3_k: d · scale · (code − 4). Planes: 2 low bits of the codes · the bit above them · signed scale of each 16 values
// · d of each 256.
override ROW: u32 = (K / 256u * 114u + 15u) / 16u * 4u; // words
const HALVES = true;
const MINIMA = false;
const ZERO = 4.0;

fn weight8(row: u32, piece: u32) -> Eight {
  let high = K / 16u;
  let scales = high + K / 32u;
  let scale = half(row, scales + K / 64u, piece / 32u) * signedByte(row, scales, piece / 2u);
  return valuesOf(joined(pairs(row, 0u, piece), bits(row, high, piece), 2u), scale, -ZERO * scale);
}

struct Words32 {
  low: vec2u,
  high: u32,
}

override HIGH: u32 = K / 16u; // words before the plane of bits above

fn low32(row: u32, block: u32) -> vec2u {
  return words2(row, 2u * block);
}

fn words32(row: u32, block: u32) -> Words32 {
  return Words32(low32(row, block), word(row, HIGH + block));
}

fn codes32(w: Words32) -> Bytes32 {
  let low = pairs32(w.low);
  let high = bits32(w.high);
  return Bytes32(low.lo | (high.lo << vec4u(2u)), low.hi | (high.hi << vec4u(2u)));
}

fn block32(row: u32, block: u32) -> Coded {
  let high = K / 16u;
  let scales = high + K / 32u;
  let both = vec2f(unpack4xI8(bytePair(row, scales, block)).xy) * half(row, scales + K / 64u, block / 8u);
  return coded(codes32(words32(row, block)), both, -ZERO * both);
}

fn scales256(row: u32, chunk: u32) -> Scales256 {
  let scales = K / 16u + K / 32u;
  let d = half(row, scales + K / 64u, chunk);
  return Scales256(four(row, scales + 4u * chunk), vec4u(), vec2f(d));
}

fn factor_at(s: Scales256, i: u32) -> Factor {
  return Factor(vec2f(unpack4xI8(pair_at(s.words, i)).xy) * s.d, 0.0);
}

fn factors256(s: Scales256) -> Factors {
  let second = times8(signedBytes8(s.words >> vec4u(8u)), s.d.x);
  return Factors(times8(signedBytes8(s.words), s.d.x), second, Eight(), Eight());
}
