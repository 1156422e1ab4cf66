// bytes/put_texels: where quantise_rows leaves a block, for who reads texels: three to a block, its codes and its factors.
//   rows: T rows of 3 · K / 32 texels
@group(0) @binding(1) var rows: texture_storage_2d<rgba32uint, write>;

fn putBlock(t: u32, block: u32, lo: vec4u, hi: vec4u, factor: vec2f) {
  textureStore(rows, vec2u(3u * block, t), lo);
  textureStore(rows, vec2u(3u * block + 1u, t), hi);
  textureStore(rows, vec2u(3u * block + 2u, t), vec4u(bitcast<vec2u>(factor), 0u, 0u));
}
