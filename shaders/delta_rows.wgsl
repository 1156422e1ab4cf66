// delta_rows: where a head's q, k and v lie in qkv [T, C], in steps of four channels; uses step
//   value head h reads key head h / RUN mod Nk, where RUN neighbouring value heads share a key head
const CHUNK = 32u;   // tokens that are worked on together
override C: u32;
override KEY_HEADS: u32;
override VALUE_HEADS: u32;
override RUN: u32;
override DK: u32;
override DV: u32;
override KEY_QUADS: u32 = DK / 4u;
override VALUE_QUADS: u32 = DV / 4u;

@group(0) @binding(0) var<storage, read> qkv: array<vec4f>;

// Loops end where the compiler cannot know, or it would unroll them all: software drivers then compile for minutes.
fn keyQuads() -> u32 {
  return select(KEY_QUADS, 0u, step.tokens == 0u);
}

// Rows of the chunk from token `first` on that are worked on: those of the run, in eights.
fn rowsFrom(first: u32) -> u32 {
  return (min(CHUNK, step.tokens - first) + 7u) / 8u * 8u;
}

// Tokens beyond the run read the last one, as their own rows may hold anything; they weigh nothing.
fn rowOf(token: u32) -> u32 {
  return min(token, step.tokens - 1u) * (C / 4u);
}

fn queryAt(head: u32) -> u32 {
  return head / RUN % KEY_HEADS * KEY_QUADS;
}

fn keyAt(head: u32) -> u32 {
  return KEY_HEADS * KEY_QUADS + queryAt(head);
}

fn valueAt(head: u32) -> u32 {
  return 2u * KEY_HEADS * KEY_QUADS + head * VALUE_QUADS;
}
