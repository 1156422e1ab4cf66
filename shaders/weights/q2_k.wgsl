// q2_k: d · scale · code − dmin · minimum. Planes: codes of 2 bits · scale (low) and minimum (high nibble) of each 16
// values · d and dmin of each 256.
override ROW: u32 = (K / 256u * 84u + 15u) / 16u * 4u; // words
const HALVES = true;
const MINIMA = true;
const ZERO = 0.0;

fn weight8(row: u32, piece: u32) -> Eight {
  let both = byte(row, K / 16u, piece / 2u);
  let dm = halves(row, K / 16u + K / 64u, piece / 32u);
  return valuesOf(pairs(row, 0u, piece), dm.x * f32(both & 15u), -dm.y * f32(both >> 4u));
}

alias Words32 = vec2u;

fn words32(row: u32, block: u32) -> Words32 {
  return words2(row, 2u * block);
}

fn codes32(w: Words32) -> Bytes32 {
  return pairs32(w);
}

fn block32(row: u32, block: u32) -> Coded {
  let both = unpack4xU8(bytePair(row, K / 16u, block)).xy;
  let dm = halves(row, K / 16u + K / 64u, block / 8u);
  let scale = dm.x * vec2f(both & vec2u(15u));
  return coded(codes32(words32(row, block)), scale, -dm.y * vec2f(both >> vec2u(4u)));
}

fn scales256(row: u32, chunk: u32) -> Scales256 {
  let dm = halves(row, K / 16u + K / 64u, chunk);
  return Scales256(four(row, K / 16u + 4u * chunk), vec4u(), dm);
}

fn factors256(s: Scales256) -> Factors {
  let scales = s.words & vec4u(0x0f0f0f0fu);
  let minima = (s.words >> vec4u(4u)) & vec4u(0x0f0f0f0fu);
  return Factors(
    times8(bytes8(scales), s.d.x),
    times8(bytes8(scales >> vec4u(8u)), s.d.x),
    times8(bytes8(minima), -s.d.y),
    times8(bytes8(minima >> vec4u(8u)), -s.d.y),
  );
}
