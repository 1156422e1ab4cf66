// planes: rows of K values where K is whole blocks; weights are rows of planes, read by reads/*. What a plane holds and
// how is described in engine/formats/blocks/planes.ts, whose dequantisePlanes is the twin of weights/q*.
//   x: [T, K] f32    W: [N, K] in planes    out: [T, K] f32    gain: [K] f32, of a norm
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

// Codes of a piece, four to a word.
struct Codes {
  lo: u32,
  hi: u32,
}

// Of a plane of four-bit codes that begins at word `at`.
fn nibbles(row: u32, at: u32, piece: u32) -> Codes {
  let codes = word(row, at + piece);
  return Codes(codes & 0x0f0f0f0fu, (codes >> 4u) & 0x0f0f0f0fu);
}

// Of a plane of two-bit codes.
fn pairs(row: u32, at: u32, piece: u32) -> Codes {
  let codes = word(row, at + piece / 2u) >> (4u * (piece % 2u));
  return Codes(codes & 0x03030303u, (codes >> 2u) & 0x03030303u);
}

// Of a plane of single bits.
fn bits(row: u32, at: u32, piece: u32) -> Codes {
  let codes = word(row, at + piece / 4u) >> (2u * (piece % 4u));
  return Codes(codes & 0x01010101u, (codes >> 1u) & 0x01010101u);
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
fn half(row: u32, at: u32, i: u32) -> f32 {
  let both = unpack2x16float(scale_word(row, at + i / 2u));
  return select(both.x, both.y, i % 2u == 1u);
}

// The f16 pair at index i of a plane.
fn halves(row: u32, at: u32, i: u32) -> vec2f {
  return unpack2x16float(scale_word(row, at + i));
}

// The byte at index i of a plane, and the same as two's complement.
fn byte(row: u32, at: u32, i: u32) -> u32 {
  return extractBits(scale_word(row, at + i / 4u), 8u * (i % 4u), 8u);
}

fn signedByte(row: u32, at: u32, i: u32) -> f32 {
  return f32(extractBits(bitcast<i32>(scale_word(row, at + i / 4u)), 8u * (i % 4u), 8u));
}

// A block of 32 values. Its codes are signed bytes, four to a word: of piece i the words lo[i] and hi[i].
// value = scale · code + plus, with .x for the first and .y for the second 16 values.
struct Coded {
  lo: vec4u,
  hi: vec4u,
  scale: vec2f,
  plus: vec2f,
}

fn coded(codes: Bytes32, scale: vec2f, plus: vec2f) -> Coded {
  return Coded(codes.lo, codes.hi, scale, plus);
}

// 32 codes, or some bits of each, in bytes.
struct Bytes32 {
  lo: vec4u,
  hi: vec4u,
}

// Of two quads of a plane of signed bytes.
fn bytes32(first: vec4u, second: vec4u) -> Bytes32 {
  return Bytes32(vec4u(first.x, first.z, second.x, second.z), vec4u(first.y, first.w, second.y, second.w));
}

// Of a quad of a plane of four-bit codes, and what each has above them, at its place.
fn nibbles32(words: vec4u, high: Bytes32) -> Bytes32 {
  let lo = (words & vec4u(0x0f0f0f0fu)) | high.lo;
  let hi = ((words >> vec4u(4u)) & vec4u(0x0f0f0f0fu)) | high.hi;
  return Bytes32(lo, hi);
}

// Of a word of a plane of single bits, which belong above four.
fn highBits32(bits: u32) -> Bytes32 {
  let lo = vec4u(bits << 4u, bits << 2u, bits, bits >> 2u);
  let hi = vec4u(bits << 3u, bits << 1u, bits >> 1u, bits >> 3u);
  return Bytes32(lo & vec4u(0x10101010u), hi & vec4u(0x10101010u));
}

// Of two words of a plane of two-bit codes, which belong above four.
fn highPairs32(both: vec2u) -> Bytes32 {
  let lo = vec4u(both.x << 4u, both.x, both.y << 4u, both.y);
  let hi = vec4u(both.x << 2u, both.x >> 2u, both.y << 2u, both.y >> 2u);
  return Bytes32(lo & vec4u(0x30303030u), hi & vec4u(0x30303030u));
}

// Of a word of a plane of single bits.
fn bits32(bits: u32) -> Bytes32 {
  let words = vec4u(bits) >> vec4u(0u, 2u, 4u, 6u);
  return Bytes32(words & vec4u(0x01010101u), (words >> vec4u(1u)) & vec4u(0x01010101u));
}

// Of two words of a plane of two-bit codes.
fn pairs32(both: vec2u) -> Bytes32 {
  let words = vec4u(both.x, both.x >> 4u, both.y, both.y >> 4u);
  return Bytes32(words & vec4u(0x03030303u), (words >> vec4u(2u)) & vec4u(0x03030303u));
}

// The pair of bytes at index i of a plane.
fn bytePair(row: u32, at: u32, i: u32) -> u32 {
  return extractBits(scale_word(row, at + i / 2u), 16u * (i % 2u), 16u);
}

// Words at … at + 3 of a row, whether or not they are a quad.
fn four(row: u32, at: u32) -> vec4u {
  let last = ROW / 4u - 1u;
  let a = scale_quad(row, min(at / 4u, last));
  if (at % 4u == 0u) {
    return a;
  }
  let b = scale_quad(row, min(at / 4u + 1u, last));
  let odd = select(vec4u(a.yzw, b.x), vec4u(a.w, b.xyz), at % 4u == 3u);
  return select(odd, vec4u(a.zw, b.xy), at % 4u == 2u);
}

// Of a row's chunk of 256 values, what its eight blocks' codes are multiplied by, as it is stored: a pair of bytes or one half
// each in `words`, or two halves and four blocks' in `more`; and the factors of all, where there are such.
struct Scales256 {
  words: vec4u,
  more: vec4u,
  d: vec2f,
}

fn word_at(quad: vec4u, i: u32) -> u32 {
  let both = select(quad.xy, quad.zw, i > 1u);
  return select(both.x, both.y, i % 2u == 1u);
}

// The lower half is that of block i.
fn pair_at(words: vec4u, i: u32) -> u32 {
  return word_at(words, i / 2u) >> (16u * (i % 2u));
}

// Of one of the blocks: of the first and of the second 16 codes, and what is added, if MINIMA, which is then one for both.
struct Factor {
  scale: vec2f,
  plus: f32,
}

// Of a chunk what its eight blocks' codes are multiplied by and what is added then: of the first
// and of the second 16 values of each, which are the same unless HALVES; nothing but −ZERO · scale is added unless MINIMA.
struct Factors {
  first: Eight,
  second: Eight,
  firstPlus: Eight,
  secondPlus: Eight,
}

fn one_factor(scale: Eight) -> Factors {
  return Factors(scale, scale, Eight(), Eight());
}

fn halves8(w: vec4u) -> Eight {
  return Eight(
    vec4f(unpack2x16float(w.x), unpack2x16float(w.y)),
    vec4f(unpack2x16float(w.z), unpack2x16float(w.w)),
  );
}

// Of pairs of halves: scales and what is added.
fn halfPairs8(first: vec4u, second: vec4u) -> Factors {
  let a = halves8(first);
  let b = halves8(second);
  let scale = Eight(vec4f(a.lo.xz, a.hi.xz), vec4f(b.lo.xz, b.hi.xz));
  let plus = Eight(vec4f(a.lo.yw, a.hi.yw), vec4f(b.lo.yw, b.hi.yw));
  return Factors(scale, scale, plus, plus);
}

// Of four words, bytes 0 and 2 of each, or of each shifted by a byte: bytes 1 and 3.
fn bytes8(w: vec4u) -> Eight {
  let low = vec4f(w & vec4u(0xffu));
  let high = vec4f((w >> vec4u(16u)) & vec4u(0xffu));
  return Eight(vec4f(low.x, high.x, low.y, high.y), vec4f(low.z, high.z, low.w, high.w));
}

// The same of bytes in two's complement.
fn signedBytes8(w: vec4u) -> Eight {
  let low = vec4f(bitcast<vec4i>(w << vec4u(24u)) >> vec4u(24u));
  let high = vec4f(bitcast<vec4i>(w << vec4u(8u)) >> vec4u(24u));
  return Eight(vec4f(low.x, high.x, low.y, high.y), vec4f(low.z, high.z, low.w, high.w));
}

fn times8(a: Eight, b: f32) -> Eight {
  return Eight(a.lo * b, a.hi * b);
}
