// scaled/largest: the largest magnitude of a row of value8 (scaled/x, scaled/weight), by its bits, to all LANES invocations
// of a workgroup.
const LANES = 64u;

var<workgroup> largest: array<u32, LANES>;

fn largestOf(row: u32, lane: u32) -> u32 {
  var most = 0u;
  for (var piece = lane; piece < (K + 7u) / 8u; piece += LANES) {
    let value = value8(row, piece);
    most = max(most, max(magnitude4(value.lo), magnitude4(value.hi)));
  }
  largest[lane] = most;
  workgroupBarrier();
  if (lane < 8u) {
    for (var i = lane + 8u; i < LANES; i += 8u) {
      most = max(most, largest[i]);
    }
    largest[lane] = most;
  }
  workgroupBarrier();
  for (var i = 0u; i < 8u; i++) {
    most = max(most, largest[i]);
  }
  return most;
}
