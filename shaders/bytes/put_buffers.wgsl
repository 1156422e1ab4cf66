// bytes/put_buffers: where quantise_rows leaves a block, for who reads buffers.
//   codes: [T, K / 32, 2] vec4u, four to a word    factors: [T, K / 32] vec2f
@group(0) @binding(1) var<storage, read_write> codes: array<vec4u>;
@group(0) @binding(3) var<storage, read_write> factors: array<vec2f>;

fn putBlock(t: u32, block: u32, lo: vec4u, hi: vec4u, factor: vec2f) {
  let at = t * (K / 32u) + block;
  codes[2u * at] = lo;
  codes[2u * at + 1u] = hi;
  factors[at] = factor;
}
