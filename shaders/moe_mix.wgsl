// moe_mix: y[t,c] = x[t,c] + Σj shares[t,j] · parts[t,j,c] + what all tokens share
//   x, y: [T, C] f32    parts: [T, USED, C] f32    shares: [T, USED] f32
//   one invocation per value; uses moe/shared or moe/unshared, and moe/residual or moe/partial: where experts are spread
//   over devices, the residual stream is in the first one's part of the sum
override C: u32;
override USED: u32;

@group(0) @binding(1) var<storage, read> parts: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read> shares: array<f32>;

@compute @workgroup_size(64)
fn moe_mix(@builtin(global_invocation_id) id: vec3u) {
  let c = id.x;
  let t = id.y;
  if (c >= C) {
    return;
  }
  var sum = residual(t * C + c);
  for (var j = 0u; j < USED; j++) {
    let pair = t * USED + j;
    sum = fma(shares[pair], parts[pair * C + c], sum);
  }
  y[t * C + c] = sum + sharedPart(t, c);
}
