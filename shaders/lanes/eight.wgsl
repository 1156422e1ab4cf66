// lanes/eight: a lane of matmul_lanes has eight columns, so that one shuffle serves eight multiply-adds.
const COLUMNS = 8u;

struct Columns {
  left: Four,
  right: Four,
}

struct Sums {
  left: vec4f,
  right: vec4f,
}

fn columnsOf(row: u32, piece: u32) -> Columns {
  return Columns(fourOf(row, piece), fourOf(row + 4u, piece));
}

fn addedAll(sums: Sums, w: Columns, token: Eight) -> Sums {
  return Sums(added4(sums.left, w.left, token), added4(sums.right, w.right, token));
}

fn keep(at: u32, sums: Sums) {
  results[at] = sums.left;
  results[SPANS * SPAN * LANES + at] = sums.right;
}

fn storeOwn(t: u32, row: u32, at: u32) {
  store4(t, row, results[at]);
  store4(t, row + 4u, results[SPANS * SPAN * LANES + at]);
}
