// probe_subgroups: how many invocations find themselves where kernels expect them: lane i of a workgroup is lane i % WIDTH
// of subgroup i / WIDTH, and a subgroup computes over exactly its WIDTH lanes
//   right: u32, counted on from what is there
enable subgroups;

override LANES: u32;
override WIDTH: u32;

@group(0) @binding(0) var<storage, read_write> right: atomic<u32>;

@compute @workgroup_size(LANES)
fn probe_subgroups(
  @builtin(local_invocation_index) i: u32,
  @builtin(subgroup_invocation_id) lane: u32,
  @builtin(subgroup_size) size: u32,
) {
  let first = i / WIDTH * WIDTH;
  let least = subgroupMin(i);
  let most = subgroupMax(i);
  let count = subgroupAdd(1u);
  let next = subgroupShuffle(i, (lane + 1u) % WIDTH);
  let placed = size == WIDTH && lane == i - first && least == first && most == first + WIDTH - 1u;
  if (placed && count == WIDTH && next == first + (lane + 1u) % WIDTH) {
    atomicAdd(&right, 1u);
  }
}
