// reduce/workgroup: the sum of every lane's value, in every lane, by halving through workgroup memory.
//   LANES, the size of the workgroup, is a power of two. Every lane must call it.
var<workgroup> partial: array<vec4f, LANES>;

fn sum4(value: vec4f, lane: u32) -> vec4f {
  workgroupBarrier(); // an earlier sum may still be read
  partial[lane] = value;
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) {
      partial[lane] += partial[lane + half];
    }
  }
  workgroupBarrier();
  return partial[0];
}
