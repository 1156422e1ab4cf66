// ids/drawn: the token that the host names, or, where it names none, the one that was drawn last in the token's slot.
//   counts: [slots, STRIDE] u32, whose second column it is (sample/slot)   uses steps/*
override STRIDE: u32;

@group(0) @binding(3) var<storage, read> counts: array<u32>;
@group(0) @binding(4) var<storage, read> step: Step;

fn idOf(t: u32) -> u32 {
  let id = ids[t];
  if (id == 0xffffffffu) {
    return counts[slot_of(t) * STRIDE + 1u];
  }
  return id;
}
