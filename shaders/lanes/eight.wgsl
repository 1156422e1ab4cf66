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

fn storeOwn(t: u32, row: u32, sums: Sums) {
  store4(t, row, sums.left);
  store4(t, row + 4u, sums.right);
}
