// bench_read: y[group] = xor of a stretch of W: how fast memory can be read at all, four loads of 16 bytes under way
//   W: [GROUPS · PER_GROUP] vec4u    one workgroup per stretch; neighbouring lanes read neighbouring vectors;
//   PER_GROUP is a multiple of 4 · LANES. LANES: a subgroup on a processor, which then never switches invocations.
override PER_GROUP: u32;
override LANES: u32;

@group(0) @binding(0) var<storage, read> W: array<vec4u>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;

@compute @workgroup_size(LANES)
fn bench_read(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  var a = vec4u();
  var b = vec4u();
  var c = vec4u();
  var d = vec4u();
  let end = (group.x + 1u) * PER_GROUP;
  for (var i = group.x * PER_GROUP + lane; i < end; i += 4u * LANES) {
    a ^= W[i];
    b ^= W[i + LANES];
    c ^= W[i + 2u * LANES];
    d ^= W[i + 3u * LANES];
  }
  if (any((a ^ b ^ c ^ d) == vec4u(1u))) { // keeps the reads, and almost never writes
    y[group.x] = a.x;
  }
}
