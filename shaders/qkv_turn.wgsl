// qkv_turn: queries and keys, from the packed projection to what attention multiplies; part of qkv_prepare and what does the
//   same
//   rope, pairs (i, i+R/2), i < R/2, (c, s) = table[p, i]:   y_i = x_i·c − x_{i+R/2}·s    y_{i+R/2} = x_{i+R/2}·c + x_i·s
//   and dims ≥ R pass.   p = positions[axis(i), t]: interleaved M-RoPE, axis(i) = h where i%3 = 1 and i < 3·SECTION_H,
//   w where i%3 = 2 and i < 3·SECTION_W, else t; sections of 0 make it plain rope.
//   qkv: [T, PACKED] = q | k | v, q per head [D] or, with output gates, [D query | D gate] (Q_STRIDE = 2D)
//   positions: [3, T of the plan] u32 (t, h, w)    table: [positions, R/2, 2] (cos, sin)
//   uses qkv_plain or qkv_norm
override HEADS: u32;
override KV_HEADS: u32;
override D: u32;
override Q_STRIDE: u32;
override PACKED: u32;
override R: u32;
override SECTION_H: u32 = 0;
override SECTION_W: u32 = 0;
@group(0) @binding(1) var<storage, read> qkv: array<vec4f>;
@group(0) @binding(2) var<storage, read> positions: array<u32>;
@group(0) @binding(3) var<storage, read> table: array<vec2f>;
override D4: u32 = D / 4u;

fn axis(pair: u32) -> u32 {
  if (pair % 3u == 1u && pair < 3u * SECTION_H) { return 1u; }
  if (pair % 3u == 2u && pair < 3u * SECTION_W) { return 2u; }
  return 0u;
}

// The cosines and sines of four pairs. A load costs a processor more than all else here.
struct Turns {
  c: vec4f,
  s: vec4f,
}

fn turns_of(t: u32, pair: u32) -> Turns {
  let tokens = arrayLength(&positions) / 3u;
  var p = vec3u(positions[t]);
  if (SECTION_H + SECTION_W > 0u) {
    p = vec3u(p.x, positions[tokens + t], positions[2u * tokens + t]);
  }
  let at = p * (R / 2u) + pair;
  let a = table[at[axis(pair)]];
  let b = table[at[axis(pair + 1u)] + 1u];
  let c = table[at[axis(pair + 2u)] + 2u];
  let d = table[at[axis(pair + 3u)] + 3u];
  return Turns(vec4f(a.x, b.x, c.x, d.x), vec4f(a.y, b.y, c.y, d.y));
}

// Four elements of a query or key head that starts at qkv[base], normed by `scale` and turned to their position.
fn turned4(t: u32, base: u32, is_key: bool, d4: u32, scale: f32) -> vec4f {
  let x = qkv[base + d4] * (scale * head_weight4(is_key, d4));
  let i = 4u * d4;
  if (i >= R) { return x; }
  if (R % 8u != 0u) { return one_by_one(t, base, is_key, d4, scale); }
  let first = i < R / 2u;
  let partner = select(d4 - R / 8u, d4 + R / 8u, first);
  let other = qkv[base + partner] * (scale * head_weight4(is_key, partner));
  let turn = turns_of(t, select(i - R / 2u, i, first));
  return x * turn.c + select(other, -other, first) * turn.s;
}

// The same where pairs do not lie four by four.
fn one_by_one(t: u32, base: u32, is_key: bool, d4: u32, scale: f32) -> vec4f {
  var y = vec4f();
  for (var j = 0u; j < 4u; j++) {
    let i = 4u * d4 + j;
    let x = element(base, is_key, i, scale);
    let first = i < R / 2u;
    let pair = select(i - R / 2u, i, first);
    let other = element(base, is_key, select(pair, i + R / 2u, first), scale);
    let turn = table[positions[axis(pair) * (arrayLength(&positions) / 3u) + t] * (R / 2u) + pair];
    y[j] = select(x * turn.x + select(other, -other, first) * turn.y, x, i >= R);
  }
  return y;
}

fn element(base: u32, is_key: bool, i: u32, scale: f32) -> f32 {
  return qkv[base + i / 4u][i % 4u] * (scale * head_weight4(is_key, i / 4u)[i % 4u]);
}
