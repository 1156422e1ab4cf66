// sample/adjust: the logit that a token is drawn by, as a key.   uses sample/slot
//   logit + bias, then ÷ repetition where it is positive and × repetition where not, if the token was seen in prompt or
//   answer, then − presence − frequency · times drawn; −∞ if the grammar has no place for it
//   shifts: [slots, K + ⌈K/32⌉] u32   bias of each token, as bits of a float; then a bit for each, 1: may be drawn
@group(0) @binding(5) var<storage, read> shifts: array<u32>;
@group(0) @binding(10) var<storage, read> counts: array<u32>;

fn adjusted(slot: u32, flags: u32, id: u32, logit: f32) -> u32 {
  if (keyOf(logit) == 0u) {
    return 0u; // the model is sick, whatever else holds
  }
  var value = logit;
  let shift = slot * (K + (K + 31u) / 32u);
  if ((flags & BIASED) != 0u) {
    value += bitcast<f32>(shifts[shift + id]);
  }
  if ((flags & COUNTED) != 0u) {
    let count = counts[countsOf(slot) + 2u + id];
    if (count != 0u) {
      let repetition = settingOf(slot, REPETITION);
      value = select(value * repetition, value / repetition, value > 0.0);
      let times = count & 0x7fffffffu;
      if (times > 0u) {
        value -= settingOf(slot, PRESENCE) + settingOf(slot, FREQUENCY) * f32(times);
      }
    }
  }
  let key = keyOf(value);
  if ((flags & MASKED) != 0u) {
    let allowed = (shifts[shift + K + id / 32u] >> (id % 32u)) & 1u;
    if (allowed == 0u && key < ALWAYS) {
      return NEVER;
    }
  }
  return key;
}
