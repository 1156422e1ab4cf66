// matrix/emulated: matrix/units for devices without them, so that tests can run the kernels around: operands stay where
// they lie in workgroup memory, and of the sums each lane of the subgroup has every WIDTH-th.
alias Half = f32;
alias Left = u32;
alias Right = u32;
alias Sums = u32;

var<private> allSums: array<f32, 1024>; // 64 of each matrix at most

// n, in a form that the compiler does not know: unrolled loops would take it minutes.
fn count(n: u32) -> u32 {
  return select(n, 0u, step.tokens == 0u);
}

// To the nearest that f16 has, of two the even one; beyond its range to what nobody will take for a result.
fn halfOf(value: f32) -> Half {
  let bits = bitcast<u32>(value);
  let normal = bitcast<f32>((bits + 0xfffu + ((bits >> 13u) & 1u)) & 0xffffe000u);
  let inRange = select(normal, (value + 0.75) - 0.75, abs(value) < 6.103515625e-5);
  return select(inRange, 1e9 * value, abs(value) >= 65520.0);
}

fn noSums(i: u32) -> Sums {
  for (var j = 64u * i; j < count(64u * i + 64u); j++) { allSums[j] = 0.0; }
  return 64u * i;
}

fn leftAt(at: u32) -> Left {
  return at;
}

fn rightAt(at: u32) -> Right {
  return at;
}

fn multiplied(left: Left, right: Right, sums: Sums, lane: u32) -> Sums {
  for (var i = lane % WIDTH; i < count(ROWS_EACH * COLUMNS_EACH); i += WIDTH) {
    let across = left + i / COLUMNS_EACH * STRIDE;
    let along = right + i % COLUMNS_EACH * STRIDE;
    var sum = allSums[sums + i / WIDTH];
    for (var k = 0u; k < count(DEPTH_EACH); k++) {
      sum = fma(operands[across + k], operands[along + k], sum);
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
