// q3_k: d · scale · (code − 4). Planes: 2 low bits of the codes · the bit above them · signed scale of each 16 values
// · d of each 256.
override ROW: u32 = (K / 256u * 114u + 15u) / 16u * 4u; // words
override SCALES: u32 = K / 16u + K / 32u; // words before its scales
const HALVES = true;
const MINIMA = false;
const ZERO = 4.0;

fn weight8(row: u32, piece: u32) -> Eight {
  let high = K / 16u;
  let scale = half(row, SCALES + K / 64u, piece / 32u) * signedByte(row, SCALES, piece / 2u);
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
  let both = vec2f(unpack4xI8(bytePair(row, SCALES, block)).xy) * half(row, SCALES + K / 64u, block / 8u);
  return coded(codes32(words32(row, block)), both, -ZERO * both);
}
