// moe/one: one token; its experts are the tiles, one pair to each.
@group(0) @binding(4) var<storage, read> ids: array<u32>;

fn tileAt(i: u32) -> vec4u {
  return vec4u(ids[i], i, 1u, 0u);
}

fn pairAt(i: u32) -> u32 {
  return i;
}
