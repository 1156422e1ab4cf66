// whole: rows of K values where K is a multiple of 8, so every piece is whole and begins on 16 bytes.
//   x: [T, K] f32    W: [N, K] in its own format (weights/*.wgsl)    out: [T, K] f32    gain: [K] f32, of a norm
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> W: array<vec4u>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(6) var<storage, read> gain: array<vec4f>;

fn x8(t: u32, piece: u32) -> Eight {
  let i = t * (K / 4u) + 2u * piece;
  return Eight(x[i], x[i + 1u]);
}

fn gain8(piece: u32) -> Eight {
  return Eight(gain[2u * piece], gain[2u * piece + 1u]);
}

// Words first … first + 3 of a row that is `words` long; all three are multiples of 4.
fn words4(row: u32, first: u32, words: u32) -> vec4u {
  return W[row * (words / 4u) + first / 4u];
}

fn put8(t: u32, piece: u32, value: Eight) {
  let i = t * (K / 4u) + 2u * piece;
  out[i] = value.lo;
  out[i + 1u] = value.hi;
}
