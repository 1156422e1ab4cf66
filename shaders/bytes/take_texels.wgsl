// bytes/take_texels: a block as bytes/put_texels has left it. On llvmpipe a texel in eight lanes takes 80 instructions, and
// sixteen bytes of a buffer 360.   uses products/pairs
@group(0) @binding(8) var rows: texture_storage_2d<rgba32uint, read>;

fn takeBlock(t: u32, block: u32) -> Held {
  let lo = textureLoad(rows, vec2u(3u * block, t));
  let hi = textureLoad(rows, vec2u(3u * block + 1u, t));
  let factor = textureLoad(rows, vec2u(3u * block + 2u, t)).xy;
  return Held(rightOf(lo, hi), bitcast<vec2f>(factor));
}
