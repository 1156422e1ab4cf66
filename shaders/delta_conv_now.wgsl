// delta_conv_now: a head's channels of the one token of a decode step, convolved on the fly; uses conv
//   of the window, rows past−3 … past−1 are read and row past is written, by the head that owns the channel
fn convolved(t: u32, c4: u32, owner: bool) -> vec4f {
  let now = u[t * (STRIDE / 4u) + c4];
  let p = step.past + t;
  let y = conv4(4u * c4, memory[ring(p - 3u, c4)], memory[ring(p - 2u, c4)], memory[ring(p - 1u, c4)], now);
  if (owner) { memory[ring(p, c4)] = now; }
  return y;
}
