// lanes/four: a lane of matmul_lanes has four columns. Eight pieces of a quantised W, decoded, do not fit a processor.
const COLUMNS = 4u;
alias Columns = Four;
alias Sums = vec4f;

fn columnsOf(row: u32, piece: u32) -> Columns {
  return fourOf(row, piece);
}

fn addedAll(sums: Sums, w: Columns, token: Eight) -> Sums {
  return added4(sums, w, token);
}

fn storeOwn(t: u32, row: u32, sums: Sums) {
  store4(t, row, sums);
}
