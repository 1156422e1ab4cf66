// reads/tiles: W [N, K] in tiles (engine/gpu/tiles.ts), rows of ROW words that are whole quads. A tile is TILE rows in runs
// of some quads of each, so that what a mat-vec reads one after another lies so. In a texture, because llvmpipe reads a
// texel of 16 bytes in a quarter of the instructions that it takes for 16 bytes of a buffer.
override TILE: u32;
override SIDE: u32;       // rows whose quads lie side by side: 1, or 8
override RUN: u32;        // quads of a run
override SECOND: u32;     // from this quad of a row on they are SECOND_RUN long,
override SECOND_RUN: u32;
override THIRD: u32;      // from this one on THIRD_RUN
override THIRD_RUN: u32;

@group(0) @binding(1) var W: texture_storage_2d<rgba32uint, read>;

// A quad's place in its tile, of whose rows it is in number `row`; runs are `run` long from quad `first` to `end`.
fn place(row: u32, i: u32, first: u32, end: u32, run: u32) -> u32 {
  let within = (i - first) % run;
  let begin = i - within;
  let width = select(min(run, end - begin), run, (end - first) % run == 0u);
  return TILE * begin + (row - row % SIDE) * width + SIDE * within + row % SIDE;
}

fn texel(at: u32) -> vec4u {
  return textureLoad(W, vec2u(at % 4096u, at / 4096u));
}

fn tile(row: u32) -> u32 {
  return (row - row % TILE) * (ROW / 4u);
}

fn quad(row: u32, i: u32) -> vec4u {
  let inside = row % TILE;
  var at = place(inside, i, 0u, SECOND, RUN);
  if (SECOND < THIRD) {
    at = select(at, place(inside, i, SECOND, THIRD, SECOND_RUN), i >= SECOND);
  }
  if (THIRD < ROW / 4u) {
    at = select(at, place(inside, i, THIRD, ROW / 4u, THIRD_RUN), i >= THIRD);
  }
  return texel(tile(row) + at);
}

// A quad before SECOND, one before THIRD, which may lie behind it where K is not whole chunks, and one from THIRD on.
fn low_quad(row: u32, i: u32) -> vec4u {
  return texel(tile(row) + place(row % TILE, i, 0u, SECOND, RUN));
}

fn high_quad(row: u32, i: u32) -> vec4u {
  if (K % 256u == 0u) {
    return texel(tile(row) + place(row % TILE, i, SECOND, THIRD, SECOND_RUN));
  }
  return quad(row, i);
}

fn scale_quad(row: u32, i: u32) -> vec4u {
  return texel(tile(row) + place(row % TILE, i, THIRD, ROW / 4u, THIRD_RUN));
}

fn scale_word(row: u32, i: u32) -> u32 {
  return scale_quad(row, i / 4u)[i % 4u];
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

// Where the quads lie that a row's chunk of 256 values takes of the plane of low bits, and of that of high ones; K is whole
// chunks. Of neighbouring rows one by one they lie side by side.
fn low_run(row: u32, chunk: u32) -> u32 {
  return run_of(row, chunk * RUN, RUN);
}

fn high_run(row: u32, chunk: u32) -> u32 {
  return run_of(row, SECOND + chunk * SECOND_RUN, SECOND_RUN);
}

fn run_of(row: u32, begin: u32, run: u32) -> u32 {
  let inside = row % TILE;
  return tile(row) + TILE * begin + (inside - inside % SIDE) * run + inside % SIDE;
}

// Where no run goes on in the texture's next row its quads have their addresses by one addition.
fn run_quad(at: u32, i: u32) -> vec4u {
  if (TILE * (ROW / 4u) % (SIDE * RUN) == 0u) {
    return textureLoad(W, vec2u(at % 4096u + SIDE * i, at / 4096u));
  }
  return texel(at + SIDE * i);
}
