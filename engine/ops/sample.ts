// The next token of each row of logits, drawn on the device by the settings of its sequence's slot. What it needs of a
// slot lies in four tensors (shaders/sample/slot.wgsl and adjust.wgsl); what comes back is a record of some words. Where
// devices have columns of the logits each, every one of them weighs the blocks of its own, and one picks from all.
import type { Gpu } from "../gpu/adapter.ts";
import type { Pass } from "../gpu/pass.ts";
import { bufferOf, type Range } from "../gpu/readback.ts";
import { stepPart } from "../gpu/step.ts";
import { dims, expectShape, free, permanent, type Tensor } from "../gpu/tensor.ts";
import type { Candidate, Sampling } from "../serve/types.ts";
import { isSoftware, rowsPart } from "./variants.ts";

/** How each slot draws. V: the vocabulary. */
export interface DrawMemory {
  /** u32 [slots, 16] */
  readonly settings: Tensor;
  /** u32 [slots, 2 + V]; its second column is the last token drawn. */
  readonly counts: Tensor;
  /** u32 [slots, V + ⌈V/32⌉] */
  readonly shifts: Tensor;
  /** u32 [slots, V] */
  readonly keys: Tensor;
  /** Where V is a device's part of the vocabulary. */
  readonly part?: VocabularyPart | undefined;
}

/** Some neighbours of a vocabulary: which is the first, of how many tokens. */
export interface VocabularyPart {
  readonly first: number;
  readonly of: number;
  /** Of its logits, how many are weighed together. */
  readonly block: number;
}

/** What picking takes of it, of the whole vocabulary. */
export type PickMemory = Pick<DrawMemory, "settings" | "counts" | "keys">;

/** How a sequence draws that begins, or goes on, in a slot. */
export interface DrawStart {
  sampling: Sampling & { seed: number };
  prompt: readonly number[];
  /** Its tokens behind the prompt. */
  drawn: readonly number[];
  /** Of the likeliest, how many are told, at most 20, and the token's own probability; undefined: none of it. */
  candidates: number | undefined;
  /** Each draw has a mask of its own. */
  masked: boolean;
}

/** What a draw gave. */
export interface Draw {
  id: number;
  /** Natural logarithm of the probability that the model itself gave: before bias, penalties, temperature and mask. */
  logprob?: number;
  /** The likeliest tokens, likeliest first. */
  top?: Candidate[];
  /** Nothing could be drawn: what the logits are. */
  ill?: Illness;
}

export type Illness = Readonly<Record<"count" | "nan" | "infinite" | "min" | "max" | "mean", number>>;

/** Of the settings and of a record (shaders/sample). */
const settingWords = 16;
const candidatesAt = 12;
const mostCandidates = 20;
const recordWords = candidatesAt + 2 * mostCandidates;
export const blockWords = 8;
/** Most that comes back of a draw. */
export const recordBytes = 4 * recordWords;
const flag = { biased: 1, counted: 2, masked: 4, sampled: 8, told: 16 };
/** JSON has no -Infinity; OpenAI and vLLM say -9999 for what the model rules out. */
const leastLogprob = -9999;

/** Allocates it; until a slot is told otherwise, it takes the likeliest. Errors: out_of_memory. */
export function createDrawMemory(gpu: Gpu, slots: number, V: number, part?: VocabularyPart): DrawMemory {
  const words = (label: string, shape: readonly number[]) => permanent(gpu, label, shape, undefined, "u32");
  return {
    part,
    settings: words("draw settings", [slots, settingWords]),
    counts: words("draw counts", [slots, 2 + V]),
    shifts: words("draw shifts", [slots, V + Math.ceil(V / 32)]),
    keys: words("draw keys", [slots, V]),
  };
}

export function freeDrawMemory({ settings, counts, shifts, keys }: DrawMemory): void {
  free(settings, counts, shifts, keys);
}

/**
 * Draws a token for each row.   logits: [T, V]   → records u32 [T, 52], and memory.drawn.
 * Weights are exp in f32, some 10⁻⁵ from the true ones, so a draw nearer to a limit than that may fall to either side;
 * it is the same on every run, alone or in a batch.
 */
export function sample(pass: Pass, logits: Tensor, memory: DrawMemory): Tensor {
  const block = usualBlock(pass.gpu);
  return pick(pass, logits, weighBlocks(pass, logits, memory, block), memory, block);
}

/** Logits to a block, where nothing asks for fewer: what is known of them is little, and quickly read. */
export function usualBlock(gpu: Pick<Gpu, "report">): number {
  return isSoftware(gpu) ? 2048 : 512;
}

/**
 * What a draw has to know of each block of `block` logits, a multiple of 8.   logits: [T, V]   → u32 [T, ⌈V/block⌉, 8]
 * (Block in shaders/sample/slot.wgsl); and memory.keys, where settings change logits.
 */
export function weighBlocks(pass: Pass, logits: Tensor, memory: DrawMemory, block: number): Tensor {
  const [T, V] = dims(logits, 2);
  const groups = Math.ceil(V / block);
  const blocks = pass.scratch([T, groups, blockWords], "sample_blocks", "u32");
  const { settings, counts, shifts, keys } = memory;
  const none = undefined; // of rows/* and this kernel
  const inputs = [logits, blocks, none, logits, settings, shifts, none, none, keys, pass.step, counts];
  pass.dispatch("sample_blocks", inputs, {
    parts: ["rows/eight", rowsPart(V), "reduce/workgroup", ...known(pass), "sample/adjust"],
    constants: { K: V, PIECES: block / 8, LANES: isSoftware(pass.gpu) ? 8 : 64 },
    groups: [groups, rowsOf(T)],
  });
  return blocks;
}

/** The token of each row, from its blocks and those of its logits that are not marked as absent; → as `sample`. */
export function pick(pass: Pass, logits: Tensor, blocks: Tensor, memory: PickMemory, block: number): Tensor {
  const [T, V] = dims(logits, 2);
  expectShape(blocks, [T, Math.ceil(V / block), blockWords]);
  const { settings, counts, keys } = memory;
  const records = pass.scratch([T, recordWords], "records", "u32");
  const LANES = pickLanes(pass.gpu, blocks.shape[1]!);
  pass.dispatch("sample_pick", [logits, blocks, counts, keys, settings, records, pass.step], {
    parts: [...known(pass), "sample/search", "sample/random", "sample/told"],
    constants: { K: V, GROUPS: blocks.shape[1]!, BLOCK: block, LANES, TEAM: Math.min(32, LANES) },
    groups: [rowsOf(T)],
  });
  return records;
}

/** Half as many, or a quarter, where of a large vocabulary's blocks a workgroup could not keep account beside more. */
function pickLanes(gpu: Gpu, groups: number): number {
  if (isSoftware(gpu)) return 8;
  const bytes = (lanes: number) => 16 * groups + (17 * 4 + 8) * lanes + 256; // shaders/sample/search.wgsl and told.wgsl
  return [128, 64].find((lanes) => bytes(lanes) <= gpu.limits.maxComputeWorkgroupStorageSize) ?? 32;
}

function rowsOf(T: number) {
  return T === 1 ? 1 : (tokens: number) => tokens;
}

function known(pass: Pass): string[] {
  return [stepPart(pass), "reduce/best", "sample/slot"];
}

/** Says how the sequence in a slot draws from now on; ordered with the runs. */
export function writeDrawStart(gpu: Gpu, memory: DrawMemory, slot: number, start: DrawStart): void {
  const V = memory.keys.shape[1]!;
  const { first, of } = memory.part ?? { first: 0, of: V };
  const counted = isCounted(start);
  const { queue } = gpu.device;
  queue.writeBuffer(bufferOf(memory.settings), 4 * slot * settingWords, settingsOf(start, of));
  const counts = new Uint32Array(2 + (counted ? V : 0));
  counts[0] = start.drawn.length;
  if (counted)
    for (const [id, count] of countsOf(start))
      if (id >= first && id < first + V) counts[2 + id - first] = count;
  queue.writeBuffer(bufferOf(memory.counts), 4 * slot * (2 + V), counts);
  const bias = Object.entries(start.sampling.logitBias);
  if (bias.length === 0) return;
  const shifts = new Float32Array(V);
  for (const [id, value] of bias) {
    const at = Number(id) - first;
    if (at >= 0 && at < V) shifts[at] = value;
  }
  queue.writeBuffer(bufferOf(memory.shifts), 4 * slot * memory.shifts.shape[1]!, shifts);
}

/** Words of a slot's settings (shaders/sample/slot.wgsl). */
function settingsOf({ sampling, candidates, masked, ...start }: DrawStart, V: number) {
  const { repetitionPenalty, presencePenalty, frequencyPenalty, logitBias } = sampling;
  const words = new Uint32Array(settingWords);
  const floats = new Float32Array(words.buffer);
  words[0] =
    (Object.keys(logitBias).length > 0 ? flag.biased : 0) +
    (isCounted({ sampling, ...start }) ? flag.counted : 0) +
    (masked ? flag.masked : 0) +
    (sampling.temperature > 0 ? flag.sampled : 0) +
    (candidates === undefined ? 0 : flag.told);
  words.set(wordsOf(sampling.seed), 1);
  floats[3] = sampling.temperature > 0 ? heatOf(sampling.temperature) : 0;
  words[4] = Math.min(sampling.topK, V);
  floats.set([sampling.topP, sampling.minP, repetitionPenalty, presencePenalty, frequencyPenalty], 5);
  words[10] = candidates ?? 0;
  return words;
}

/**
 * What logits are multiplied by. Of temperatures as good as 0 no more than this: an infinity times the likeliest's
 * distance from itself would be no number, and then any token might be drawn, even one that a grammar bans.
 */
export function heatOf(temperature: number): number {
  return Math.min(1 / temperature, 1e30);
}

/** Whether it matters what a sequence has said. */
export function isCounted({ sampling }: Pick<DrawStart, "sampling">): boolean {
  const { repetitionPenalty, presencePenalty, frequencyPenalty } = sampling;
  return repetitionPenalty !== 1 || presencePenalty !== 0 || frequencyPenalty !== 0;
}

/** Of each token of the answer, and of the prompt where that matters, its word in DrawMemory.counts. */
export function countsOf({ sampling, prompt, drawn }: DrawStart): Map<number, number> {
  const counts = new Map<number, number>();
  for (const id of drawn) counts.set(id, (counts.get(id) ?? 0) + 1);
  if (sampling.repetitionPenalty !== 1)
    for (const id of prompt) counts.set(id, ((counts.get(id) ?? 0) | 0x8000_0000) >>> 0);
  return counts;
}

/** Changes a word of a slot's counts, if the token is of this part. */
export function writeCount(
  gpu: Gpu,
  { counts, part }: DrawMemory,
  slot: number,
  id: number,
  count: number,
): void {
  const [width, at] = [counts.shape[1]!, id - (part?.first ?? 0)];
  if (at < 0 || at >= width - 2) return;
  gpu.device.queue.writeBuffer(bufferOf(counts), 4 * (slot * width + 2 + at), Uint32Array.of(count));
}

/** A seed, or another safe integer, as two words, the low one first. */
function wordsOf(value: number): [number, number] {
  return [value >>> 0, Math.floor(value / 2 ** 32) >>> 0];
}

/** Which tokens the next draw of a slot may give: bit i of word ⌊i/32⌋ for token i. Ordered with the runs. */
export function writeMask(gpu: Gpu, { shifts, keys }: DrawMemory, slot: number, allowed: Uint32Array): void {
  const at = 4 * (slot * shifts.shape[1]! + keys.shape[1]!);
  gpu.device.queue.writeBuffer(bufferOf(shifts), at, allowed as Uint32Array<ArrayBuffer>);
}

/** The part of the records that tells of a row. */
export function recordRange(records: Tensor, row: number, candidates: number | undefined): Range {
  const words = candidatesAt + 2 * (candidates ?? 0);
  return { source: bufferOf(records), offset: 4 * row * recordWords, bytes: 4 * words };
}

/** A record as it came back, of a draw from V logits with so many candidates. */
export function readRecord(bytes: ArrayBuffer, V: number, candidates: number | undefined): Draw {
  const words = new Uint32Array(bytes);
  const floats = new Float32Array(bytes);
  const id = words[0]!;
  if (words[1] !== 0) return { id, ill: illnessOf(words, floats, V) };
  if (candidates === undefined) return { id };
  const total = floats[3]! + Math.log(floats[4]!);
  const logprob = (logit: number) => Math.max(leastLogprob, logit - total);
  const top: Candidate[] = [];
  for (let i = candidatesAt; i < candidatesAt + 2 * Math.min(candidates, V); i += 2)
    top.push({ id: words[i]!, logprob: logprob(floats[i + 1]!) });
  return { id, logprob: logprob(floats[2]!), top };
}

function illnessOf(words: Uint32Array, floats: Float32Array, count: number): Illness {
  const [nan, infinite] = [words[5]!, words[6]!];
  const finite = count - nan - infinite;
  if (finite === 0) return { count, nan, infinite, min: Infinity, max: -Infinity, mean: NaN };
  return { count, nan, infinite, min: floats[7]!, max: floats[8]!, mean: floats[9]! / finite };
}
