// attention_merge: the parts of attention_split, joined:   y_h = Σ_s e^(m_s − m)·acc_s / Σ_s e^(m_s − m)·l_s,  m = max m_s
//   acc: [T, Nh, SPLITS] of (acc_s, then m_s, l_s and two zeros)    y: [T, Nh·D], a token of each sequence
//   one workgroup a head and token, four dims a lane; uses steps/*, attention_chunk and attention_gate or attention_plain
override HEADS: u32;
override D: u32;
@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> acc: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;
override D4: u32 = D / 4u;

@compute @workgroup_size(64)
fn attention_merge(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) d4: u32) {
  if (d4 >= D4) { return; }
  let t = group.y;
  let head = t * HEADS + group.x;                 // through the heads of all tokens
  let length = row_of(t) + 1u;
  let chunk = chunk_of(length);
  let used = (length + chunk - 1u) / chunk;       // later splits had no keys and wrote nothing
  var m = acc[part_of(head, 0u) + D4].x;
  for (var s = 1u; s < used; s++) {
    m = max(m, acc[part_of(head, s) + D4].x);
  }
  var l = 0.0;
  var sum = vec4f(0.0);
  for (var s = 0u; s < used; s++) {
    let part = acc[part_of(head, s) + D4];
    let scale = exp(part.x - m);
    l += scale * part.y;
    sum += scale * acc[part_of(head, s) + d4];
  }
  y[head * D4 + d4] = gated(sum / l, t, group.x, d4);
}
