// delta_conv_now: a head's channels of the one token of a decode step, convolved on the fly; uses conv
//   window: [4, C] ring at @binding(8): rows past−3 … past−1 are read, row past is written, by the head that owns it
@group(0) @binding(8) var<storage, read_write> window: array<vec4f>;

fn convolved(t: u32, c4: u32, owner: bool) -> vec4f {
  let now = u[t * (STRIDE / 4u) + c4];
  let p = step.past + t;
  let y = conv4(4u * c4, window[ring(p - 3u, c4)], window[ring(p - 2u, c4)], window[ring(p - 1u, c4)], now);
  if (owner) { window[ring(p, c4)] = now; }
  return y;
}
