// reduce/workgroup: the sum of every lane's value, in every lane, through workgroup memory in two strides: eight lanes
// gather, then all add the eight. (Halving needs a barrier for every power of two.)
//   LANES, the size of the workgroup, is a multiple of 8. Every lane must call it.
var<workgroup> partial: array<vec4f, LANES>;

fn sum4(value: vec4f, lane: u32) -> vec4f {
  workgroupBarrier(); // an earlier sum may still be read
  partial[lane] = value;
  workgroupBarrier();
  if (lane < 8u) {
    var sum = partial[lane];
    for (var i = lane + 8u; i < LANES; i += 8u) {
      sum += partial[i];
    }
    partial[lane] = sum;
  }
  workgroupBarrier();
  let low = partial[0] + partial[1] + partial[2] + partial[3];
  return low + partial[4] + partial[5] + partial[6] + partial[7];
}
