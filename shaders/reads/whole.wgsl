// reads/whole: W [N, K] in a buffer, rows of ROW words that are whole quads (16 bytes).
@group(0) @binding(1) var<storage, read> W: array<vec4u>;

fn quad(row: u32, i: u32) -> vec4u {
  return W[row * (ROW / 4u) + i];
}

// Words first … first + 3 of a row; first is a multiple of 4.
fn words4(row: u32, first: u32) -> vec4u {
  return quad(row, first / 4u);
}
