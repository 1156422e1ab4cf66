// delta_conv_now: a head's channels of a token alone in its sequence's run, convolved on the fly; uses steps/*, conv
//   of the window, the three rows before the token's are read and its own is written, by the head that owns the channel
fn convolved(t: u32, c4: u32, owner: bool) -> vec4f {
  let now = u[t * (STRIDE / 4u) + c4];
  let p = row_of(t);
  let s = slot_of(t);
  let y = conv4(4u * c4, memory[ring(s, p - 3u, c4)], memory[ring(s, p - 2u, c4)], memory[ring(s, p - 1u, c4)], now);
  if (owner) { memory[ring(s, p, c4)] = now; }
  return y;
}
