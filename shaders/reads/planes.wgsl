// reads/planes: W [N, K] in a buffer, rows of ROW words that are whole quads, read by words as well.
@group(0) @binding(1) var<storage, read> W: array<u32>;
@group(0) @binding(7) var<storage, read> quads: array<vec4u>; // W once more, for kernels that read whole blocks

fn word(row: u32, i: u32) -> u32 {
  return W[row * ROW + i];
}

// i is even.
fn words2(row: u32, i: u32) -> vec2u {
  return vec2u(word(row, i), word(row, i + 1u));
}

fn quad(row: u32, i: u32) -> vec4u {
  return quads[row * (ROW / 4u) + i];
}

// The same of the plane of low bits, and of those above and of scales, for reads that gain by knowing which it is. The latter
// are read by words: a kernel whose every read went through one binding would have no other, which it is given.
fn low_quad(row: u32, i: u32) -> vec4u {
  return quad(row, i);
}

fn high_quad(row: u32, i: u32) -> vec4u {
  return scale_quad(row, i);
}

fn scale_quad(row: u32, i: u32) -> vec4u {
  return vec4u(word(row, 4u * i), word(row, 4u * i + 1u), word(row, 4u * i + 2u), word(row, 4u * i + 3u));
}

fn scale_word(row: u32, i: u32) -> u32 {
  return word(row, i);
}
