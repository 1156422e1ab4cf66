// bytes/take_buffers: a block as bytes/put_buffers has left it.   uses products/pairs
@group(0) @binding(8) var<storage, read> codes: array<vec4u>;
@group(0) @binding(9) var<storage, read> factors: array<vec2f>;

fn takeBlock(t: u32, block: u32) -> Held {
  let at = t * (K / 32u) + block;
  return Held(rightOf(codes[2u * at], codes[2u * at + 1u]), factors[at]);
}
