// quantise_rows: rows of x in bytes, by blocks of 32 values: code = round(x / d), d = max |x| / 127
//   x: [T, K] f32    of each block the codes, two vec4u, four to a word: the first four values of each piece, then the others
//   and two factors: d, and d · Σ code, which is what a constant beside the other codes is multiplied by
//   one invocation a block; uses rows/whole, rows/span, bytes/round, and bytes/put_* for where they go
override K: u32;

const LANES = 64u;

@compute @workgroup_size(LANES)
fn quantise_rows(@builtin(global_invocation_id) id: vec3u) {
  let t = id.y;
  let block = id.x;
  if (block < K / 32u) {
    let piece = 4u * block;
    putRounded(t, block, Span(x8(t, piece), x8(t, piece + 1u), x8(t, piece + 2u), x8(t, piece + 3u)));
  }
}
