// inputs/norm_rows: inputs/norm for several tokens: the same operations in the same order, but a token's values are made
// anew for each four rows, since workgroup memory may not hold those of all tokens.
override EPS: f32;
override OFFSET: f32;

// What the sums of token t are to be multiplied by.
fn prepare(t: u32, lane: u32) -> f32 {
  var squares = 0.0;
  for (var piece = lane; piece < pieces(); piece += LANES) {
    let values = x8(t, piece);
    squares = dot8(squares, values, values);
  }
  return inverseSqrt(sum4(vec4f(squares), lane).x / f32(K) + EPS);
}

fn gainOf(piece: u32) -> Eight {
  let gains = gain8(piece);
  return Eight(OFFSET + gains.lo, OFFSET + gains.hi);
}

fn input8(t: u32, piece: u32, gains: Eight) -> Eight {
  let values = x8(t, piece);
  return Eight(values.lo * gains.lo, values.hi * gains.hi);
}
