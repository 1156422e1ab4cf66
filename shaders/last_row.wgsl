// last_row: y[0] = x[T - 1], the row of the run's last token
//   x: [capacity, C] f32    y: [1, C] f32
//   one invocation per column
override C: u32;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<storage, read> step: Step;

@compute @workgroup_size(64)
fn last_row(@builtin(global_invocation_id) id: vec3u) {
  if (id.x < C) {
    y[id.x] = x[(step.tokens - 1u) * C + id.x];
  }
}
