// inputs/norm: mat-vec's input is x / sqrt(mean(x²) + EPS) · (OFFSET + gain), the norm before it, without a dispatch.
//   gain: [K] f32    every workgroup computes it for itself, which pays where a workgroup has many rows
override EPS: f32;
override OFFSET: f32;

var<workgroup> staged: array<Eight, (K + 7u) / 8u>; // x · (OFFSET + gain); a lane reads what it wrote itself

// Makes the input ready; the sums are to be multiplied by what it returns.
fn prepare(lane: u32) -> f32 {
  var squares = 0.0;
  for (var piece = lane; piece < (K + 7u) / 8u; piece += LANES) {
    let values = x8(0u, piece);
    let gains = gain8(piece);
    squares = dot8(squares, values, values);
    staged[piece] = Eight(values.lo * (OFFSET + gains.lo), values.hi * (OFFSET + gains.hi));
  }
  return inverseSqrt(sum4(vec4f(squares), lane).x / f32(K) + EPS);
}

fn input8(piece: u32) -> Eight {
  return staged[piece];
}
