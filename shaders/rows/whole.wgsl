// whole: rows of K values where K is a multiple of 8, so every piece is whole and begins on 16 bytes.
//   x: [T, K] f32    out: [T, K] f32    gain: [K] f32, of a norm
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(6) var<storage, read> gain: array<vec4f>;

fn x8(t: u32, piece: u32) -> Eight {
  let i = t * (K / 4u) + 2u * piece;
  return Eight(x[i], x[i + 1u]);
}

fn gain8(piece: u32) -> Eight {
  return Eight(gain[2u * piece], gain[2u * piece + 1u]);
}

fn put8(t: u32, piece: u32, value: Eight) {
  let i = t * (K / 4u) + 2u * piece;
  out[i] = value.lo;
  out[i + 1u] = value.hi;
}
