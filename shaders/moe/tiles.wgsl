// moe/tiles: several tokens; the pairs as moe_group has sorted them.
@group(0) @binding(4) var<storage, read> tiles: array<vec4u>;
@group(0) @binding(5) var<storage, read> order: array<u32>;

fn tileAt(i: u32) -> vec4u {
  return tiles[i];
}

fn pairAt(i: u32) -> u32 {
  return order[i];
}
