// matmul_bytes: y[t,n] = epilogue(Σk x[t,k] · W[n,k])   for many tokens in bytes, on a device with many cores
//   x: codes [T, K / 32, 2] vec4u and factors [T, K / 32] vec2f (quantise_rows)
//   W: rows FIRST … FIRST + ROWS of [N, K], in blocks of 32    y: [T, N] f32 (swiglu: [T, N / 2])
//   one workgroup of 8 × 8 per tile of SIDE × SIDE results, as in matmul. A block of 32 k at a time, both operands are kept
//   in workgroup memory as words of four codes, word by word; their products are exact integers, and each block's sum is
//   scaled into f32. Uses tiles/*, rows/planes, weights/* and epilogue/*
requires packed_4x8_integer_dot_product;

override K: u32;
override N: u32;
override FIRST: u32;
override ROWS: u32;

const SIDE = 32u * QUADS;
const STRIDE = SIDE / 4u; // in fours of rows
const WORDS = 8u;         // of a block

@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read> step: Step;
@group(0) @binding(8) var<storage, read> codes: array<vec4u>;
@group(0) @binding(9) var<storage, read> factors: array<vec2f>;

// x as [word][t], behind it W as [word][n].
var<workgroup> words: array<u32, 2u * WORDS * SIDE>;
var<workgroup> xFactors: array<vec2f, SIDE>;
var<workgroup> wFactors: array<vec2f, SIDE>; // scale and what is added
var<workgroup> results: array<vec4f, 64>;

fn putWords(at: u32, lo: vec4u, hi: vec4u) {
  for (var i = 0u; i < 4u; i++) {
    words[at + i * SIDE] = lo[i];
    words[at + (4u + i) * SIDE] = hi[i];
  }
}

fn four_at(at: u32) -> vec4u {
  return vec4u(words[at], words[at + 1u], words[at + 2u], words[at + 3u]);
}

fn dotsOf(x: u32, w: vec4u) -> vec4i {
  return vec4i(dot4I8Packed(x, w.x), dot4I8Packed(x, w.y), dot4I8Packed(x, w.z), dot4I8Packed(x, w.w));
}

@compute @workgroup_size(64)
fn matmul_bytes(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) i: u32) {
  let row = group.x * SIDE;
  let t = group.y * SIDE;
  let column = i % 8u;
  let line = i / 8u;
  let lastToken = step.tokens - 1u;
  var sums: array<vec4f, 4u * QUADS * QUADS>; // [t][n / 4] of this invocation
  for (var block = 0u; block < K / 32u; block++) {
    workgroupBarrier(); // the previous step may still be read
    // A row of both operands for every invocation, or of one. Rows past the end read the last one and are not stored.
    let j = i % SIDE;
    if (SIDE == 64u || i < 32u) {
      let at = min(t + j, lastToken) * (K / 32u) + block;
      putWords(j, codes[2u * at], codes[2u * at + 1u]);
      xFactors[j] = factors[at];
    }
    if (SIDE == 64u || i >= 32u) {
      let w = block32(min(row + j, ROWS - 1u), block);
      putWords(WORDS * SIDE + j, w.lo, w.hi);
      wFactors[j] = vec2f(w.scale.x, w.plus.x);
    }
    workgroupBarrier();
    // Word by word, so that few of them are held at a time: block by block of results their loads run together in what is
    // unrolled, which fills all registers and spills.
    var dots = array<vec4i, 4u * QUADS * QUADS>();
    for (var word = 0u; word < WORDS; word++) {
      for (var a = 0u; a < QUADS; a++) {
        let x = four_at(word * SIDE + 32u * a + 4u * line);
        for (var b = 0u; b < QUADS; b++) {
          let w = four_at((WORDS + word) * SIDE + 32u * b + 4u * column);
          let at = 4u * a * QUADS + b;
          dots[at] += dotsOf(x.x, w);
          dots[at + QUADS] += dotsOf(x.y, w);
          dots[at + 2u * QUADS] += dotsOf(x.z, w);
          dots[at + 3u * QUADS] += dotsOf(x.w, w);
        }
      }
    }
    for (var b = 0u; b < QUADS; b++) {
      let left = 32u * b + 4u * column;
      let w0 = wFactors[left];
      let w1 = wFactors[left + 1u];
      let w2 = wFactors[left + 2u];
      let w3 = wFactors[left + 3u];
      let scale = vec4f(w0.x, w1.x, w2.x, w3.x);
      let plus = vec4f(w0.y, w1.y, w2.y, w3.y);
      for (var j = 0u; j < 4u * QUADS; j++) {
        let at = j * QUADS + b;
        sums[at] += scaled(dots[at], scale, plus, xFactors[32u * (j / 4u) + 4u * line + j % 4u]);
      }
    }
  }
  // Through memory, as a loop over registers would be unrolled: sixteen epilogues compile for seconds.
  for (var j = 0u; j < 4u * QUADS; j++) {
    let token = t + 32u * (j / 4u) + 4u * line + j % 4u;
    for (var b = 0u; b < QUADS; b++) {
      results[i] = sums[j * QUADS + b];
      if (token < step.tokens) {
        store4(token, row + 32u * b + 4u * column, results[i]);
      }
    }
  }
}

fn scaled(dots: vec4i, scale: vec4f, plus: vec4f, factor: vec2f) -> vec4f {
  return vec4f(dots) * scale * factor.x + plus * factor.y;
}
