// inputs/norm_staged: inputs/norm_rows for one token, whose values are made once a workgroup.
override EPS: f32;
override OFFSET: f32;

var<workgroup> staged: array<Eight, (K + 7u) / 8u>; // x · (OFFSET + gain)

// Makes the input ready; the sums are to be multiplied by what it returns.
fn prepare(t: u32, lane: u32) -> f32 {
  var squares = 0.0;
  for (var piece = lane; piece < pieces(); piece += LANES) {
    let values = x8(t, piece);
    let gains = gain8(piece);
    squares = dot8(squares, values, values);
    staged[piece] = Eight(values.lo * (OFFSET + gains.lo), values.hi * (OFFSET + gains.hi));
  }
  workgroupBarrier(); // another lane may read it
  return inverseSqrt(sum4(vec4f(squares), lane).x / f32(K) + EPS);
}

fn gainOf(piece: u32) -> Eight {
  return Eight();
}

fn input8(t: u32, piece: u32, gains: Eight) -> Eight {
  return staged[piece];
}
