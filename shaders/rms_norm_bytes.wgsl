// rms_norm_bytes: rms_norm, and its rows in bytes as of quantise_rows, in one dispatch: a token's row is so short that another
// takes longer than what it computes.
//   x: [T, K] f32    gain: [K] f32    the bytes: as of quantise_rows
//   one workgroup per row t, an invocation a block; uses reduce/*, rows/whole, rows/span, rows/normed,
//   bytes/round and bytes/put_*
override K: u32;
override LANES: u32;

// The four pieces of a block.
fn span(t: u32, block: u32, scale: f32) -> Span {
  let first = 4u * block;
  let a = normed8(t, first, scale);
  let b = normed8(t, first + 1u, scale);
  let c = normed8(t, first + 2u, scale);
  let d = normed8(t, first + 3u, scale);
  return Span(a, b, c, d);
}

@compute @workgroup_size(LANES)
fn rms_norm_bytes(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let t = group.x;
  let scale = rowScale(t, lane);
  for (var turn = 0u; turn < (K / 32u + LANES - 1u) / LANES; turn++) { // a number that compilers know
    let block = LANES * turn + lane;
    if (block < K / 32u) {
      putRounded(t, block, span(t, block, scale));
    }
  }
}
