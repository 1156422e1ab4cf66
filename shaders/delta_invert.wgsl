// delta_invert: column j of M = (I + A)⁻¹, A strict lower, by forward substitution, four rows at a time:
//   M_ij = −Σ_(n<i) A_in M_nj below the diagonal, 1 on it. M takes the place of D; uses delta_rows, delta_decays
//   A: [8][32], rows 4r … 4r + 3 of a column together
var<workgroup> A: array<vec4f, CHUNK * CHUNK / 4u>;

fn invertColumn(j: u32, rows: u32) {
  for (var i = 0u; i < rows; i += 4u) {
    let block = i / 4u * CHUNK;
    var m = select(vec4f(0.0), vec4f(1.0), vec4u(i, i + 1u, i + 2u, i + 3u) == vec4u(j));
    for (var n = 0u; n < i; n++) { m -= A[block + n] * D[n * CHUNK + j]; }
    m.y -= A[block + i].y * m.x;
    m.z -= A[block + i].z * m.x + A[block + i + 1u].z * m.y;
    m.w -= A[block + i].w * m.x + A[block + i + 1u].w * m.y + A[block + i + 2u].w * m.z;
    D[i * CHUNK + j] = m.x;
    D[(i + 1u) * CHUNK + j] = m.y;
    D[(i + 2u) * CHUNK + j] = m.z;
    D[(i + 3u) * CHUNK + j] = m.w;
  }
}
