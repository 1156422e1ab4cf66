// ids/drawn: the token that the host names, or, where it names none, the one that was drawn last in the token's slot.
//   Of the first to see a run of decoding, which moves it on: what the host would have to say of the next token of the
//   same sequences is there already. Others read rows and positions only behind it.
//   counts: [slots, STRIDE] u32, whose second column it is (sample/slot)    positions: [3, T of the plan] u32
//   uses steps/*, moves/*
override STRIDE: u32;

@group(0) @binding(3) var<storage, read> counts: array<u32>;
@group(0) @binding(4) var<storage, read_write> step: Step;
@group(0) @binding(5) var<storage, read_write> positions: array<u32>;

fn idOf(t: u32) -> u32 {
  let id = ids[t];
  if (id == 0xffffffffu) {
    return counts[slot_of(t) * STRIDE + 1u];
  }
  return id;
}

// One invocation a token. Rows count from 2³² − 1, ahead of a sequence's first; the last one stays.
fn moveOn(t: u32) {
  if (row_of(t) + 1u < step.rows) {
    move_row(t);
    let T = arrayLength(&positions) / 3u;
    for (var axis = 0u; axis < 3u; axis++) {
      positions[axis * T + t] += 1u;
    }
  }
}
