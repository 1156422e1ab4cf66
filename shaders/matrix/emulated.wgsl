// matrix/emulated: matrix/units for devices without them, so that tests can run the kernels around: operands stay where
// they lie in workgroup memory, and of the sums each lane of the subgroup has every WIDTH-th. Uses halves/nearest
alias Half = f32;
alias Left = u32;
alias Right = vec3u; // where; and how far its columns, and the values of a column, lie apart
alias Sums = u32;

const EACH_LANE = ROWS_EACH * COLUMNS_EACH / 4u; // of a matrix at most
var<private> allSums: array<f32, 1152>; // 32 × 32 of four times, and once 32 × 16, to 4 lanes

// n, in a form that the compiler does not know: unrolled loops would take it minutes.
fn count(n: u32) -> u32 {
  return select(n, 0u, step.tokens == 0u);
}

fn halfOf(value: f32) -> Half {
  return nearestHalf(value);
}

fn putHalves(at: u32, words: vec4u) {
  for (var i = 0u; i < count(4u); i++) {
    let pair = unpack2x16float(words[i]);
    operands[at + 2u * i] = pair.x;
    operands[at + 2u * i + 1u] = pair.y;
  }
}

fn noSums(i: u32) -> Sums {
  for (var j = 0u; j < count(EACH_LANE); j++) {
    allSums[EACH_LANE * i + j] = 0.0;
  }
  return EACH_LANE * i;
}

fn leftAt(at: u32) -> Left {
  return at;
}

fn rightAt(at: u32) -> Right {
  return vec3u(at, STRIDE, 1u);
}

fn rightRowsAt(at: u32, stride: u32) -> Right {
  return vec3u(at, 1u, stride);
}

fn multiplied(left: Left, right: Right, sums: Sums, lane: u32) -> Sums {
  for (var i = lane % WIDTH; i < count(ROWS_EACH * COLUMNS_EACH); i += WIDTH) {
    let across = left + i / COLUMNS_EACH * STRIDE;
    let along = right.x + i % COLUMNS_EACH * right.y;
    var sum = allSums[sums + i / WIDTH];
    for (var k = 0u; k < count(DEPTH_EACH); k++) {
      sum = fma(operands[across + k], operands[along + k * right.z], sum);
    }
    allSums[sums + i / WIDTH] = sum;
  }
  return sums;
}

fn keepSums(sums: Sums, at: u32, lane: u32) {
  for (var i = lane % WIDTH; i < count(ROWS_EACH * COLUMNS_EACH); i += WIDTH) {
    results[at + i] = allSums[sums + i / WIDTH];
  }
}

fn sumsAt(before: Sums, at: u32, lane: u32) -> Sums {
  for (var i = lane % WIDTH; i < count(ROWS_EACH * COLUMNS_EACH); i += WIDTH) {
    allSums[before + i / WIDTH] = results[at + i];
  }
  return before;
}
