// matrix/stored_emulated: matrix/stored beside matrix/emulated; the halves are two to a word.
@group(0) @binding(6) var<storage, read> halves: array<u32>;

struct StoredLeft {
  at: u32,
  down: u32,
  along: u32,
}

fn storedLeft(at: u32, stride: u32) -> StoredLeft {
  return StoredLeft(at, stride, 1u);
}

fn storedLeftTurned(at: u32, stride: u32) -> StoredLeft {
  return StoredLeft(at, 1u, stride);
}

fn storedHalf(at: u32) -> f32 {
  return unpack2x16float(halves[at / 2u])[at % 2u];
}

fn multipliedStored(left: StoredLeft, right: Right, sums: Sums, lane: u32) -> Sums {
  for (var i = lane % WIDTH; i < count(ROWS_EACH * COLUMNS_EACH); i += WIDTH) {
    let across = left.at + i / COLUMNS_EACH * left.down;
    let along = right.x + i % COLUMNS_EACH * right.y;
    var sum = allSums[sums + i / WIDTH];
    for (var k = 0u; k < count(DEPTH_EACH); k++) {
      sum = fma(storedHalf(across + k * left.along), operands[along + k * right.z], sum);
    }
    allSums[sums + i / WIDTH] = sum;
  }
  return sums;
}
