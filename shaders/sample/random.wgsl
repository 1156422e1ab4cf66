// sample/random: the random number of a step, by counter: Philox 4x32 with 10 rounds (Salmon et al., "Parallel random
// numbers: as easy as 1, 2, 3", 2011). Its twin is engine/reference/random.ts, and they agree to the bit.

// 32 × 32 → the high 32 bits
fn highProduct(a: u32, b: u32) -> u32 {
  let low = (a & 0xffffu) * (b & 0xffffu);
  let middle = (a >> 16u) * (b & 0xffffu) + (low >> 16u);
  let other = (middle & 0xffffu) + (a & 0xffffu) * (b >> 16u);
  return (a >> 16u) * (b >> 16u) + (middle >> 16u) + (other >> 16u);
}

// Uniform in [0, 1), of 24 bits, which is what an f32 holds.
fn uniformOf(seed: vec2u, step: u32) -> f32 {
  var c = vec4u(step, 0u, 0u, 0u);
  var k = seed;
  for (var round = 0u; round < 10u; round++) {
    let high0 = highProduct(0xd2511f53u, c.x);
    let high1 = highProduct(0xcd9e8d57u, c.z);
    c = vec4u(high1 ^ c.y ^ k.x, 0xcd9e8d57u * c.z, high0 ^ c.w ^ k.y, 0xd2511f53u * c.x);
    k += vec2u(0x9e3779b9u, 0xbb67ae85u);
  }
  return f32(c.x >> 8u) * 0x1p-24f;
}
