// normed: rows of x through their norm: x[t,k] / sqrt(mean(x[t]²) + EPS) · (OFFSET + gain[k]), for a workgroup per row.
//   gain: [K] f32; OFFSET 1 where it is stored minus one (Qwen3.5)   uses reduce/* and another of rows/*
override EPS: f32;
override OFFSET: f32;

fn pieces() -> u32 {
  return (K + 7u) / 8u;
}

// What its values are to be multiplied by. Every lane must call it.
fn rowScale(t: u32, lane: u32) -> f32 {
  var squares = 0.0;
  for (var piece = lane; piece < pieces(); piece += LANES) {
    let values = x8(t, piece);
    squares = dot8(squares, values, values);
  }
  return inverseSqrt(sum4(vec4f(squares), lane).x / f32(K) + EPS);
}

fn normed8(t: u32, piece: u32, scale: f32) -> Eight {
  let values = x8(t, piece);
  let gains = gain8(piece);
  return Eight(values.lo * scale * (OFFSET + gains.lo), values.hi * scale * (OFFSET + gains.hi));
}
