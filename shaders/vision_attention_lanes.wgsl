// vision_attention_lanes: vision_attention on a software adapter:
//   y[t,h] = Σ_k softmax_k(q[t,h]·k[k,h] · D^-½) · v[k,h],   k < T
//   qkv: [T, 3·HEADS·D] = q | k | v, head by head, turned already    y: [T, HEADS·D]
//   one workgroup of exactly one subgroup (LANES wide) per four patches from FIRST on and one head. For scores a lane
//   takes a key, for values four dims; D a multiple of 4, at most 128
// Why shuffles, no barriers and loops bounded by the subgroup's size: attention_lanes.
enable subgroups;

override HEADS: u32;
override D: u32;
override FIRST: u32;
override LANES: u32;                        // 4 to 64
@group(0) @binding(0) var<storage, read> qkv: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(2) var<storage, read> step: Step;

const LOWEST = -3.4e38;
const ROWS = 4u;
const GROUPS = 8u;                          // of LANES keys, whose weights a lane remembers
const SPAN = 4u;                            // vec4s of head width that the lanes hold of each row
override D4: u32 = D / 4u;
override C4: u32 = HEADS * D / 4u;

// four dims of four rows' queries, a column a row
fn hold(start: vec4u, d4: u32) -> mat4x4f {
  if (d4 >= D4) { return mat4x4f(); }
  return mat4x4f(qkv[start.x + d4], qkv[start.y + d4], qkv[start.z + d4], qkv[start.w + d4]);
}

fn from_lane(held: mat4x4f, lane: u32) -> mat4x4f {
  return mat4x4f(
    subgroupShuffle(held[0], lane),
    subgroupShuffle(held[1], lane),
    subgroupShuffle(held[2], lane),
    subgroupShuffle(held[3], lane),
  );
}

fn outer(p: vec4f, v: vec4f) -> mat4x4f {
  return mat4x4f(p.x * v, p.y * v, p.z * v, p.w * v);
}

fn scale_rows(sums: mat4x4f, by: vec4f) -> mat4x4f {
  return mat4x4f(sums[0] * by.x, sums[1] * by.y, sums[2] * by.z, sums[3] * by.w);
}

@compute @workgroup_size(LANES)
fn vision_attention_lanes(
  @builtin(workgroup_id) group: vec3u,
  @builtin(subgroup_invocation_id) lane: u32,
  @builtin(subgroup_size) width: u32,                      // LANES
) {
  let row = FIRST + group.x * ROWS;
  let last = step.tokens - 1u;                             // rows and keys past it are it, and do not count
  let span = SPAN * width / LANES;                         // SPAN
  let start = min(vec4u(row, row + 1u, row + 2u, row + 3u), vec4u(last)) * 3u * C4 + group.y * D4;
  let first_key = C4 + group.y * D4;
  let first_value = 2u * C4 + group.y * D4;

  var m = vec4f(LOWEST);                                   // a component a row
  var l = vec4f(0.0);                                      // of this lane's keys
  var p: array<vec4f, GROUPS>;                             // this lane's scores, then weights
  var sums: array<mat4x4f, 8>;                             // dims 4·(lane + LANES·j), a column a row
  for (var base = 0u; base <= last; base += GROUPS * width) {
    let keys = min(GROUPS * width, last - base + 1u);
    var top = m;
    for (var g = 0u; g * LANES < keys; g++) {
      let key = base + g * LANES + lane;
      let at = min(key, last) * 3u * C4 + first_key;
      var s = vec4f(0.0);
      for (var d4 = 0u; d4 < D4; d4 += SPAN) {
        let held = hold(start, d4 + lane % SPAN);
        for (var j = 0u; j < span; j++) {
          s += qkv[at + min(d4 + j, D4 - 1u)] * from_lane(held, j);
        }
      }
      p[g] = select(vec4f(LOWEST), s / sqrt(f32(D)), vec4<bool>(key <= last));
      top = max(top, p[g]);
    }
    top = subgroupMax(top);
    let shrink = exp(m - top);
    m = top;
    l *= shrink;
    for (var g = 0u; g * LANES < keys; g++) {
      p[g] = exp(p[g] - m);
      l += p[g];
    }
    for (var column = 0u; column < D4; column += LANES) {
      let d4 = min(column + lane, D4 - 1u);
      var o = scale_rows(sums[column / LANES], shrink);
      for (var g = 0u; g * LANES < keys; g++) {
        let weights = p[g];
        for (var j = 0u; j < width; j++) {
          let key = min(base + g * LANES + j, last);
          o += outer(subgroupShuffle(weights, j), qkv[key * 3u * C4 + first_value + d4]);
        }
      }
      sums[column / LANES] = o;
    }
  }

  l = subgroupAdd(l);
  for (var d4 = lane; d4 < D4; d4 += LANES) {
    let o = scale_rows(sums[d4 / LANES], 1.0 / l);
    for (var j = 0u; j < ROWS && row + j <= last; j++) {
      y[(row + j) * C4 + group.y * D4 + d4] = o[j];
    }
  }
}
