// bench_copy: y = x, 16 bytes a load and a store: how fast memory can be copied at all
//   x, y: [GROUPS · PER_GROUP] vec4u    one workgroup per stretch; neighbouring lanes copy neighbouring vectors;
//   PER_GROUP is a multiple of LANES
override PER_GROUP: u32;
override LANES: u32;

@group(0) @binding(0) var<storage, read> x: array<vec4u>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4u>;

@compute @workgroup_size(LANES)
fn bench_copy(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let end = (group.x + 1u) * PER_GROUP;
  for (var i = group.x * PER_GROUP + lane; i < end; i += LANES) {
    y[i] = x[i];
  }
}
