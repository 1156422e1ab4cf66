// planes: rows of K values where K is whole blocks; weights are rows of planes, read by their words. What a plane holds
// and how is described in engine/formats/blocks/planes.ts, whose dequantisePlanes is the twin of weights/q*.
//   x: [T, K] f32    W: [N, K] in planes    out: [T, K] f32    gain: [K] f32, of a norm
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> W: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(6) var<storage, read> gain: array<vec4f>;
@group(0) @binding(7) var<storage, read> quads: array<vec4u>; // W once more, for kernels that read whole blocks

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

// Codes of a piece, four to a word.
struct Codes {
  lo: u32,
  hi: u32,
}

// Of a plane of four-bit codes that begins at word `at`.
fn nibbles(at: u32, piece: u32) -> Codes {
  let word = W[at + piece];
  return Codes(word & 0x0f0f0f0fu, (word >> 4u) & 0x0f0f0f0fu);
}

// Of a plane of two-bit codes.
fn pairs(at: u32, piece: u32) -> Codes {
  let word = W[at + piece / 2u] >> (4u * (piece % 2u));
  return Codes(word & 0x03030303u, (word >> 2u) & 0x03030303u);
}

// Of a plane of single bits.
fn bits(at: u32, piece: u32) -> Codes {
  let word = W[at + piece / 4u] >> (2u * (piece % 4u));
  return Codes(word & 0x01010101u, (word >> 1u) & 0x01010101u);
}

fn joined(low: Codes, high: Codes, shift: u32) -> Codes {
  return Codes(low.lo | (high.lo << shift), low.hi | (high.hi << shift));
}

// scale · code + plus, rounded once
fn valuesOf(codes: Codes, scale: f32, plus: f32) -> Eight {
  return Eight(
    fma(vec4f(unpack4xU8(codes.lo)), vec4f(scale), vec4f(plus)),
    fma(vec4f(unpack4xU8(codes.hi)), vec4f(scale), vec4f(plus)),
  );
}

// The f16 at index i of a plane.
fn half(at: u32, i: u32) -> f32 {
  let both = unpack2x16float(W[at + i / 2u]);
  return select(both.x, both.y, i % 2u == 1u);
}

// The f16 pair at index i of a plane.
fn halves(at: u32, i: u32) -> vec2f {
  return unpack2x16float(W[at + i]);
}

// The byte at index i of a plane, and the same as two's complement.
fn byte(at: u32, i: u32) -> u32 {
  return extractBits(W[at + i / 4u], 8u * (i % 4u), 8u);
}

fn signedByte(at: u32, i: u32) -> f32 {
  return f32(extractBits(bitcast<i32>(W[at + i / 4u]), 8u * (i % 4u), 8u));
}

// A block of 32 values. Its codes are signed bytes, four to a word: of piece i the words lo[i] and hi[i].
// value = scale · code + plus, with .x for the first and .y for the second 16 values.
struct Coded {
  lo: vec4u,
  hi: vec4u,
  scale: vec2f,
  plus: vec2f,
}

// Of a plane of signed bytes, from vector `at` on.
fn bytes32(at: u32, scale: f32) -> Coded {
  let first = quads[at];
  let second = quads[at + 1u];
  let lo = vec4u(first.x, first.z, second.x, second.z);
  let hi = vec4u(first.y, first.w, second.y, second.w);
  return Coded(lo, hi, vec2f(scale), vec2f());
}

// Of a plane of four-bit codes, and what each has above them: the two bits of high.lo[i] and high.hi[i], or one of them.
fn nibbles32(at: u32, high: Bits32, scale: vec2f, plus: vec2f) -> Coded {
  let words = quads[at];
  let lo = (words & vec4u(0x0f0f0f0fu)) | (high.lo << vec4u(4u));
  let hi = ((words >> vec4u(4u)) & vec4u(0x0f0f0f0fu)) | (high.hi << vec4u(4u));
  return Coded(lo, hi, scale, plus);
}

// One or two bits of each of 32 codes, in bytes.
struct Bits32 {
  lo: vec4u,
  hi: vec4u,
}

// Of a plane of single bits, from word `at` on.
fn bits32(at: u32) -> Bits32 {
  let words = vec4u(W[at]) >> vec4u(0u, 2u, 4u, 6u);
  return Bits32(words & vec4u(0x01010101u), (words >> vec4u(1u)) & vec4u(0x01010101u));
}

// Of a plane of two-bit codes, from word `at` on.
fn pairs32(at: u32) -> Bits32 {
  let first = W[at];
  let second = W[at + 1u];
  let words = vec4u(first, first >> 4u, second, second >> 4u);
  return Bits32(words & vec4u(0x03030303u), (words >> vec4u(2u)) & vec4u(0x03030303u));
}

// The pair of bytes at index i of a plane.
fn bytePair(at: u32, i: u32) -> u32 {
  return extractBits(W[at + i / 2u], 16u * (i % 2u), 16u);
}
