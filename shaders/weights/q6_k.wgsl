// q6_k: d · scale · (code − 32). Planes: 4 low bits of the codes · 2 bits above them · signed scale of each 16 values
// · d of each 256.
override ROW: u32 = (K / 256u * 210u + 15u) / 16u * 4u; // words
override SCALES: u32 = K / 8u + K / 16u; // words before its scales
const HALVES = true;
const MINIMA = false;
const ZERO = 32.0;

fn weight8(row: u32, piece: u32) -> Eight {
  let high = K / 8u;
  let scale = half(row, SCALES + K / 64u, piece / 32u) * signedByte(row, SCALES, piece / 2u);
  return valuesOf(joined(nibbles(row, 0u, piece), pairs(row, high, piece), 4u), scale, -ZERO * scale);
}

struct Words32 {
  low: vec4u,
  high: vec2u,
}

fn words32(row: u32, block: u32) -> Words32 {
  return Words32(low_quad(row, block), words2(row, K / 8u + 2u * block));
}

fn codes32(w: Words32) -> Bytes32 {
  return nibbles32(w.low, highPairs32(w.high));
}

fn block32(row: u32, block: u32) -> Coded {
  let both = vec2f(unpack4xI8(bytePair(row, SCALES, block)).xy) * half(row, SCALES + K / 64u, block / 8u);
  return coded(codes32(words32(row, block)), both, -ZERO * both);
}
