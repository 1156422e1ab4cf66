// matrix/units: the device's own matrices, f16 in and f32 out; a subgroup holds each together.
enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
diagnostic(off, chromium.subgroup_matrix_uniformity); // a subgroup is WIDTH lanes, which the compiler does not know

alias Half = f16;
alias Left = subgroup_matrix_left<f16, DEPTH_EACH, ROWS_EACH>;
alias Right = subgroup_matrix_right<f16, COLUMNS_EACH, DEPTH_EACH>;
alias Sums = subgroup_matrix_result<f32, COLUMNS_EACH, ROWS_EACH>;

fn noSums(i: u32) -> Sums {
  return Sums();
}

// The loops over matrices are to be unrolled, into registers.
fn count(n: u32) -> u32 {
  return n;
}

fn halfOf(value: f32) -> Half {
  return f16(value);
}

// Eight of them, as they are stored, to operands.
fn putHalves(at: u32, words: vec4u) {
  let lo = bitcast<vec4<f16>>(words.xy);
  let hi = bitcast<vec4<f16>>(words.zw);
  for (var i = 0u; i < 4u; i++) {
    operands[at + i] = lo[i];
    operands[at + 4u + i] = hi[i];
  }
}

// Of rows, each STRIDE behind the other.
fn leftAt(at: u32) -> Left {
  return subgroupMatrixLoad<Left, row_major>(&operands, at, STRIDE);
}

// Of columns, each STRIDE behind the other.
fn rightAt(at: u32) -> Right {
  return subgroupMatrixLoad<Right, col_major>(&operands, at, STRIDE);
}

// Of rows too, each `stride` behind the other.
fn rightRowsAt(at: u32, stride: u32) -> Right {
  return subgroupMatrixLoad<Right, row_major>(&operands, at, stride);
}

fn multiplied(left: Left, right: Right, sums: Sums, lane: u32) -> Sums {
  return subgroupMatrixMultiplyAccumulate(left, right, sums);
}

fn keepSums(sums: Sums, at: u32, lane: u32) {
  subgroupMatrixStore<row_major>(&results, at, sums, COLUMNS_EACH);
}

// What keepSums has left there, in place of `before`.
fn sumsAt(before: Sums, at: u32, lane: u32) -> Sums {
  return subgroupMatrixLoad<Sums, row_major>(&results, at, COLUMNS_EACH);
}
