// inputs/deferred: mat-vec's input is x / sqrt(mean(x²) + EPS) · (OFFSET + gain), the norm before it, without a dispatch.
//   Σk W[n,k] · norm(x)[k] = (Σk W[n,k] · (OFFSET + gain[k]) · x[k]) / sqrt(mean(x²) + EPS): the root is only known when
//   all of x was read, and so was every product; the squares are summed beside them.   gain: [K] f32
override EPS: f32;
override OFFSET: f32;

const NORMED = true;

fn gainOf(piece: u32) -> Eight {
  let gains = gain8(piece);
  return Eight(OFFSET + gains.lo, OFFSET + gains.hi);
}

fn gained(values: Eight, gains: Eight) -> Eight {
  return Eight(values.lo * gains.lo, values.hi * gains.hi);
}

fn squared(sum: f32, values: Eight) -> f32 {
  return dot8(sum, values, values);
}

// What the sums are to be multiplied by.
fn scaleOf(squares: f32) -> f32 {
  return inverseSqrt(squares / f32(K) + EPS);
}
