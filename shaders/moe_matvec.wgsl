// moe_matvec: y[pair,r] = epilogue(Σk x[pair / SHARE, k] · W[e·R + r, k])   e: the pair's expert
//   x: [T, K] f32 (SHARE: experts of a token), or a row for each pair (SHARE 1)
//   W: rows FIRST … FIRST + ROWS of [E · R, K]: R rows of each expert    y: [pairs, R] f32 (swiglu: [pairs, R / 2])
//   one workgroup per QUADS times 4 rows of an expert and tile of up to COLUMNS pairs: a piece of W is read once for all
// Each pair's sums are made in matvec's own order, whoever is beside it. Uses reduce/*, rows/*, weights/*, moe/*
override K: u32;
override R: u32;
override SHARE: u32;
override FIRST: u32;
override ROWS: u32;
override LANES: u32;
override QUADS: u32;
override COLUMNS: u32; // 1 or 4

@group(0) @binding(2) var<storage, read_write> y: array<f32>;

// The pieces of W of four rows.
struct Rows {
  a: Eight,
  b: Eight,
  c: Eight,
  d: Eight,
}

// Of a row; none for an empty tile, whose lanes must still meet at every barrier. The compiler does not know how many, or
// it would unroll the loop: that takes it several times as long.
fn pieces(pairs: u32) -> u32 {
  return select((K + 7u) / 8u, 0u, pairs == 0u);
}

fn added(sums: vec4f, w: Rows, values: Eight) -> vec4f {
  return vec4f(
    dot8(sums.x, w.a, values),
    dot8(sums.y, w.b, values),
    dot8(sums.z, w.c, values),
    dot8(sums.w, w.d, values),
  );
}

// Where the shard has a row; of rows that it does not have, one that is not stored.
fn heldRow(row: u32) -> u32 {
  return select(0u, row - FIRST, row >= FIRST && row - FIRST < ROWS);
}

@compute @workgroup_size(LANES)
fn moe_matvec(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tile = tileAt(group.z);
  let last = tile.y + tile.z - 1u;
  let p = vec4u(
    pairAt(tile.y),
    pairAt(min(tile.y + 1u, last)),
    pairAt(min(tile.y + 2u, last)),
    pairAt(min(tile.y + 3u, last)),
  );
  let t = p / SHARE;
  let base = tile.x * R;
  let first = 4u * QUADS * group.x;
  let end = min(first + 4u * QUADS, R);
  for (var row = first; row < end; row += 4u) {
    let held = vec4u(
      heldRow(base + row),
      heldRow(base + row + 1u),
      heldRow(base + row + 2u),
      heldRow(base + row + 3u),
    );
    var s0 = vec4f();
    var s1 = vec4f();
    var s2 = vec4f();
    var s3 = vec4f();
    for (var piece = lane; piece < pieces(tile.z); piece += LANES) {
      let w = Rows(
        weight8(held.x, piece),
        weight8(held.y, piece),
        weight8(held.z, piece),
        weight8(held.w, piece),
      );
      s0 = added(s0, w, x8(t.x, piece));
      if (COLUMNS > 1u) {
        s1 = added(s1, w, x8(t.y, piece));
        s2 = added(s2, w, x8(t.z, piece));
        s3 = added(s3, w, x8(t.w, piece));
      }
    }
    // In a loop, so that sum and epilogue are there once: four copies would compile for seconds.
    let each = array(s0, s1, s2, s3);
    for (var i = 0u; i < tile.z; i++) {
      let sums = sum4(each[i], lane);
      if (lane == 0u) {
        store4(p[i], tile.x, row, sums);
      }
    }
  }
}
