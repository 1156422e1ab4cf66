// bench_read: y[group] = xor of a stretch of W: how fast memory can be read at all, 16 bytes a load
//   W: [GROUPS · PER_GROUP] vec4u    one workgroup per stretch; neighbouring lanes read neighbouring vectors
override PER_GROUP: u32;

@group(0) @binding(0) var<storage, read> W: array<vec4u>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;

@compute @workgroup_size(64)
fn bench_read(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  var sum = vec4u();
  for (var i = lane; i < PER_GROUP; i += 64u) {
    sum ^= W[group.x * PER_GROUP + i];
  }
  if (any(sum == vec4u(1u))) { // keeps the reads, and almost never writes
    y[group.x] = sum.x;
  }
}
