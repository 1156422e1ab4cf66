// Which logits a draw has to see when it knows of each block of them what stands highest in it and what it weighs: for
// logits that are on several devices, of which as few as possible are to cross. What is left out can change nothing:
// - the likeliest is known already; of logits that are not healthy all are wanted, for they are told;
// - top_k tokens are in the top_k blocks that stand highest: each of these has one above all of any other block;
// - top_p's are in the blocks that stand above some level, if what is above the level surely weighs as much: of what a
//   block weighs, no more than the level's weight times its tokens but one can be below it. A flat tail asks for all;
// - min_p's are in blocks whose highest has that weight;
// - where nothing is cut off, the token is in the block in which the running sum passes the random number.
// Sums here are in f64 and on the device in f32: near a limit, blocks on both of its sides are taken.
import { blockWords, heatOf, type DrawStart } from "../../ops/sample.ts";
import { uniform } from "../../reference/random.ts";

/** What is known of a row's blocks, as shaders/sample/slot.wgsl lays it out. */
export interface Blocks {
  /** [blocks, 8] */
  readonly words: Uint32Array<ArrayBuffer>;
  /** Logits to a block; the last may have fewer. */
  readonly size: number;
}

/** Numbers of blocks, ascending. */
export interface Needed {
  /** To draw from. */
  readonly drawn: readonly number[];
  /** The model's own logits, besides: of the likeliest tokens and of the one that is drawn, where they are told. */
  readonly told: readonly number[];
}

/** How far sums may be off, as a share of the whole (ops/sample.ts: some 10⁻⁵), with room. */
const slack = 1e-4;

/** Words of a block. */
const [best, raw, sum, sick, absent] = [0, 2, 4, 6, 7];
/** Keys of −∞ and +∞ (shaders/sample/slot.wgsl). */
const [never, always] = [0x007fffff, 0xff800000];

/** `drawn`: tokens that the sequence drew before. */
export function neededBlocks(blocks: Blocks, { sampling, candidates }: DrawStart, drawn: number): Needed {
  const count = blocks.words.length / blockWords;
  const top = highest(blocks);
  if (top === undefined) return { drawn: everyBlock(count), told: everyBlock(count) };
  const chosen = sampling.temperature === 0 ? [] : kept(blocks, sampling, uniform(sampling.seed, drawn));
  if (candidates === undefined) return { drawn: ascending(chosen), told: [] };
  const likeliest = ranked(blocks, raw).slice(0, Math.max(1, candidates));
  return { drawn: ascending(chosen), told: ascending([top, ...chosen, ...likeliest]) };
}

export function everyBlock(count: number): number[] {
  return Array.from({ length: count }, (_, block) => block);
}

/** Says of each block whether what is drawn from is there. */
export function markAbsent({ words }: Blocks, there: readonly number[]): void {
  for (let at = absent; at < words.length; at += blockWords) words[at] = 1;
  for (const block of there) words[block * blockWords + absent] = 0;
}

/** The block with the likeliest token; undefined where nothing can be drawn. */
function highest({ words }: Blocks): number | undefined {
  let top = 0;
  for (let at = 0; at < words.length; at += blockWords) {
    if (words[at + sick] !== 0) return undefined;
    if (words[at + best]! > words[top + best]!) top = at;
  }
  const key = words[top + best]!;
  return key > never && key !== always ? top / blockWords : undefined;
}

/** Those in which there is something, in the order of their highest tokens: of equals the lowest id first. */
function ranked({ words }: Blocks, which: typeof best | typeof raw): number[] {
  const order: number[] = [];
  for (let at = which; at < words.length; at += blockWords) if (words[at]! > never) order.push(at);
  order.sort((a, b) => words[b]! - words[a]! || a - b); // ids grow with the blocks
  return order.map((at) => (at - which) / blockWords);
}

function kept(blocks: Blocks, sampling: DrawStart["sampling"], random: number): number[] {
  const { topK, topP, minP } = sampling;
  const order = ranked(blocks, best);
  // What top_p leaves of top_k is a share of all of that.
  if (topK > 0) return order.slice(0, topK);
  const weights = weightsOf(blocks, order, sampling.temperature);
  if (topP >= 1 && minP <= 0) return crossing(order, weights, random);
  const within = topP < 1 ? headOf(weights, topP, blocks.size) : order.length;
  return order.slice(0, within).filter((_, i) => weights.high[i]! >= minP * (1 - slack));
}

/** Of ranked blocks, what the highest token weighs, of all 1 at most, and what all together do. */
interface Weights {
  readonly high: Float64Array;
  readonly whole: Float64Array;
}

function weightsOf({ words }: Blocks, order: readonly number[], temperature: number): Weights {
  const floats = new Float32Array(words.buffer, words.byteOffset, words.length);
  const heat = Math.fround(heatOf(temperature));
  const high = new Float64Array(order.length);
  const whole = new Float64Array(order.length);
  const top = valueOf(words[blockWords * order[0]! + best]!);
  for (const [i, block] of order.entries()) {
    const at = blockWords * block;
    high[i] = Math.exp((valueOf(words[at + best]!) - top) * heat);
    whole[i] = high[i]! * floats[at + sum]!;
  }
  return { high, whole };
}

/** How many of the first blocks surely have the likeliest tokens that weigh `topP` of the whole. */
function headOf({ high, whole }: Weights, topP: number, size: number): number {
  const count = whole.length;
  const from = new Float64Array(count + 1); // what that block and all behind it weigh
  for (let i = count - 1; i >= 0; i -= 1) from[i] = from[i + 1]! + whole[i]!;
  const wanted = topP * (1 + slack) * from[0]!;
  const surely = (blocks: number) => {
    const level = (size - 1) * (high[blocks] ?? 0);
    let least = from[0]! - from[blocks]!;
    for (let i = 0; i < blocks; i += 1) least -= Math.min(whole[i]! - high[i]!, level);
    return least >= wanted;
  };
  let [low, most] = [1, count];
  while (low < most) {
    const middle = Math.floor((low + most) / 2);
    if (surely(middle)) most = middle;
    else low = middle + 1;
  }
  return low;
}

/** In which of them the sum of weights, in the order of ids, may pass a share of the whole. */
function crossing(order: readonly number[], { whole }: Weights, share: number): number[] {
  const total = whole.reduce((all, weight) => all + weight, 0);
  const near = slack * total;
  const limit = share * total;
  const byId = order.map((block, i) => ({ block, weight: whole[i]! })).sort((a, b) => a.block - b.block);
  const crossed: number[] = [];
  let reached = 0;
  for (const { block, weight } of byId) {
    if (reached <= limit + near && reached + weight >= limit - near) crossed.push(block);
    reached += weight;
  }
  return crossed;
}

const word = new Uint32Array(1);
const float = new Float32Array(word.buffer);

/** Of a key (shaders/reduce/best.wgsl). */
function valueOf(key: number): number {
  word[0] = key >= 0x8000_0000 ? key & 0x7fff_ffff : ~key;
  return float[0]!;
}

function ascending(blocks: readonly number[]): number[] {
  return [...new Set(blocks)].sort((a, b) => a - b);
}
