// ragged: the same as rows/whole for any K. Rows begin on 4 bytes and the last piece may be short:
// what is beyond the row's end reads as 0 and is not written.
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@group(0) @binding(6) var<storage, read> gain: array<f32>;

fn xAt(t: u32, k: u32) -> f32 {
  if (k >= K) {
    return 0.0;
  }
  return x[t * K + k];
}

fn x4(t: u32, k: u32) -> vec4f {
  return vec4f(xAt(t, k), xAt(t, k + 1u), xAt(t, k + 2u), xAt(t, k + 3u));
}

fn x8(t: u32, piece: u32) -> Eight {
  return Eight(x4(t, 8u * piece), x4(t, 8u * piece + 4u));
}

fn gainAt(k: u32) -> f32 {
  if (k >= K) {
    return 0.0;
  }
  return gain[k];
}

fn gain4(k: u32) -> vec4f {
  return vec4f(gainAt(k), gainAt(k + 1u), gainAt(k + 2u), gainAt(k + 3u));
}

fn gain8(piece: u32) -> Eight {
  return Eight(gain4(8u * piece), gain4(8u * piece + 4u));
}

fn putAt(t: u32, k: u32, value: f32) {
  if (k < K) {
    out[t * K + k] = value;
  }
}

fn put4(t: u32, k: u32, value: vec4f) {
  putAt(t, k, value.x);
  putAt(t, k + 1u, value.y);
  putAt(t, k + 2u, value.z);
  putAt(t, k + 3u, value.w);
}

fn put8(t: u32, piece: u32, value: Eight) {
  put4(t, 8u * piece, value.lo);
  put4(t, 8u * piece + 4u, value.hi);
}
