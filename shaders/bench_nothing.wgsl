// bench_nothing: y[0] = y[0] + 1, alone: what a dispatch costs that has nothing to do and waits for the one before
@group(0) @binding(0) var<storage, read_write> y: array<u32>;

@compute @workgroup_size(1)
fn bench_nothing() {
  y[0] += 1u;
}
