// sample/slot: how the next token of the sequence in a slot is drawn.   uses reduce/best and steps/*
//   settings: [slots, 16] u32, floats as bits
//   counts: [slots, 2 + K] u32   tokens drawn so far, the last one, and for each token how often it was drawn; its
//                                highest bit: the prompt has it
//   V, the vocabulary, is K as in rows/*.
override K: u32;

const FLAGS = 0u;
const SEED = 1u; // and 2
const HEAT = 3u; // 1 / temperature
const TOP_K = 4u;
const TOP_P = 5u;
const MIN_P = 6u;
const REPETITION = 7u;
const PRESENCE = 8u;
const FREQUENCY = 9u;
const CANDIDATES = 10u;

@group(0) @binding(4) var<storage, read> settings: array<u32>;

// Flags. Without any the likeliest token is taken.
const BIASED = 1u;
const COUNTED = 2u;
const MASKED = 4u;
const SAMPLED = 8u;
const TOLD = 16u; // log-probabilities are wanted
const ADJUSTED = 7u; // some logit may differ from what the model gave

// Logits are compared as keys: NaN is 0, and these are those of −∞, of the least number and of +∞.
const NEVER = 0x007fffffu;
const LEAST = 0x00800000u;
const ALWAYS = 0xff800000u;

fn valueOf(key: u32) -> f32 {
  return bitcast<f32>(select(~key, key & 0x7fffffffu, key >= 0x80000000u));
}

fn setting(slot: u32, which: u32) -> u32 {
  return settings[16u * slot + which];
}

// Where its counts begin.
fn countsOf(slot: u32) -> u32 {
  return slot * (2u + K);
}

fn settingOf(slot: u32, which: u32) -> f32 {
  return bitcast<f32>(setting(slot, which));
}

// What is known of a block, PIECES pieces of 8 logits of a row.
struct Block {
  best: Best,    // of the logits as they are drawn from
  raw: Best,     // of those that the model gave
  sum: f32,      // Σ exp((logit − best) / temperature)
  raw_sum: f32,  // Σ exp(logit − raw)
  sick: u32,     // 1: there is a NaN
  absent: u32,   // 1: its logits are on another device, and nothing of it can be drawn
}
