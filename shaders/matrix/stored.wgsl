// matrix/stored: left operands straight from a buffer of halves, beside matrix/units.
@group(0) @binding(6) var<storage, read> halves: array<Half>;

alias StoredLeft = Left;

// Of rows, each `stride` behind the other.
fn storedLeft(at: u32, stride: u32) -> StoredLeft {
  return subgroupMatrixLoad<Left, row_major>(&halves, at, stride);
}

// Of columns, each `stride` behind the other.
fn storedLeftTurned(at: u32, stride: u32) -> StoredLeft {
  return subgroupMatrixLoad<Left, col_major>(&halves, at, stride);
}

fn multipliedStored(left: StoredLeft, right: Right, sums: Sums, lane: u32) -> Sums {
  return multiplied(left, right, sums, lane);
}
