// reads/tiles: W [N, K] in tiles (engine/gpu/tiles.ts), rows of ROW words that are whole quads. A tile is 32 rows in
// runs of RUN quads of each, so that what a mat-vec reads one after another lies so. In a texture, because llvmpipe
// reads a texel of 16 bytes in a quarter of the instructions that it takes for 16 bytes of a buffer.
override RUN: u32;

@group(0) @binding(1) var W: texture_storage_2d<rgba32uint, read>;

fn quad(row: u32, i: u32) -> vec4u {
  let run = i - i % RUN;
  let at = (row - row % 32u) * (ROW / 4u) + 32u * run + (row % 32u) * min(RUN, ROW / 4u - run) + i % RUN;
  return textureLoad(W, vec2u(at % 4096u, at / 4096u));
}

fn word(row: u32, i: u32) -> u32 {
  return quad(row, i / 4u)[i % 4u];
}

// i is even.
fn words2(row: u32, i: u32) -> vec2u {
  let words = quad(row, i / 4u);
  return select(words.xy, words.zw, i % 4u == 2u);
}

// Words first … first + 3 of a row; first is a multiple of 4.
fn words4(row: u32, first: u32) -> vec4u {
  return quad(row, first / 4u);
}
