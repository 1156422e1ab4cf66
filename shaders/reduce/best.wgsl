// reduce/best: the largest of many values and where it was. A candidate is (key, index); keys order as the floats do,
// with NaN below everything, and are compared as integers because compilers may assume that no float is NaN.
struct Best {
  key: u32,
  index: u32,
}

fn keyOf(value: f32) -> u32 {
  let bits = bitcast<u32>(value);
  let magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) {
    return 0u; // NaN
  }
  if (magnitude == 0u) {
    return 0x80000000u; // -0 equals 0
  }
  return select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
}

// Of equals the lower index.
fn better(a: Best, b: Best) -> Best {
  if (b.key > a.key || (b.key == a.key && b.index < a.index)) {
    return b;
  }
  return a;
}

var<workgroup> candidates: array<Best, LANES>;

// The best of every lane's candidate, in every lane; LANES is a power of two.
fn bestOfLanes(mine: Best, lane: u32) -> Best {
  candidates[lane] = mine;
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) {
      candidates[lane] = better(candidates[lane], candidates[lane + half]);
    }
  }
  workgroupBarrier();
  return candidates[0];
}
