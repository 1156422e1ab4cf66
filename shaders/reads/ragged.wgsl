// reads/ragged: W [N, K] in a buffer, rows of ROW words; what is beyond a row's end reads as 0.
@group(0) @binding(1) var<storage, read> W: array<u32>;

fn wordAt(row: u32, i: u32) -> u32 {
  if (i >= ROW) {
    return 0u;
  }
  return W[row * ROW + i];
}

fn words4(row: u32, first: u32) -> vec4u {
  return vec4u(wordAt(row, first), wordAt(row, first + 1u), wordAt(row, first + 2u), wordAt(row, first + 3u));
}
