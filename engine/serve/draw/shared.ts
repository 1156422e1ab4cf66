// Drawing where each device has the logits of some tokens: all weigh the blocks of their own, hear of everybody's, and so
// know which logits the draw has to see (needed.ts); those go to the device that leads, which picks as if it had all. So
// the tokens are those of one device: what differs is where logits were computed. Nothing is approximated and nothing is
// tried twice: a flat tail takes more blocks, at most all of them.
//
// Bytes that cross for a row, of all devices together, of V logits in blocks of B (512 on cards: 32 bytes of each):
//   always 32 V/B; the likeliest token: nothing more
//   top_k: as many blocks, 4 B each; no cut: one, seldom two; min_p: those whose highest token weighs enough
//   top_p: as many as surely hold it, at most all, 4 V; with penalties, bias or a mask the same of adjusted logits
//   log-probabilities: 20 blocks besides, and what was drawn from as the model gave it; a mask: V/8, to the others
// With V = 248,320: 15.5 KB; top_k = 20 at most 41 KB more, and the whole row, which nothing but a flat tail asks for,
// 993 KB. A token's hidden state of 5120 is 20 KB, and is summed 128 times in 64 layers.
import type { Gpu } from "../../gpu/adapter.ts";
import type { Exchange } from "../../gpu/pass.ts";
import { bufferOf, readRanges, type Range } from "../../gpu/readback.ts";
import { stepValues } from "../../gpu/step.ts";
import {
  blockWords,
  readRecord,
  recordRange,
  writeCount,
  writeDrawStart,
  writeMask,
  type DrawMemory,
  type DrawStart,
} from "../../ops/sample.ts";
import type { Outcome } from "../runner.ts";
import {
  candidatesOf,
  draws,
  placed,
  submitDraws,
  type Drawing,
  type PlacedRow,
  type Ran,
} from "./drawing.ts";
import type { Merged, SharedHead } from "./draws.ts";
import { everyBlock, markAbsent, neededBlocks, type Blocks } from "./needed.ts";
import { Slots } from "./slots.ts";

export interface SharedParts {
  readonly gpu: Gpu;
  readonly memory: DrawMemory;
  readonly head: SharedHead;
  readonly exchange: Exchange;
  /** Which blocks a draw takes; tests have others. */
  readonly needed?: typeof neededBlocks;
}

/** What of a row crosses: blocks of its logits, and of its keys, as settings have changed them. */
interface Asked {
  readonly row: PlacedRow;
  readonly logits: readonly number[];
  readonly keys: readonly number[];
}

type Words = Uint32Array<ArrayBuffer>;

export class SharedDrawing implements Drawing {
  readonly #parts: SharedParts;
  readonly #slots: Slots;

  constructor(parts: SharedParts) {
    this.#parts = parts;
    this.#slots = new Slots(parts.head.vocab);
  }

  start(slot: number, start: DrawStart): void {
    const { gpu, memory, head } = this.#parts;
    this.#slots.start(slot, start);
    writeDrawStart(gpu, memory, slot, start);
    if (!head.merged) return;
    const drawn = Uint32Array.of(start.drawn.length);
    gpu.device.queue.writeBuffer(bufferOf(head.merged.memory.counts), 4 * slot * (2 + head.vocab), drawn);
  }

  drew(slot: number, id: number): void {
    const count = this.#slots.drew(slot, id);
    if (count !== undefined) writeCount(this.#parts.gpu, this.#parts.memory, slot, id, count);
  }

  async outcomes(runs: readonly Ran[]): Promise<Outcome[]> {
    const { gpu, head } = this.#parts;
    const rows = placed(runs);
    const drawing = rows.filter(({ want }) => draws(want));
    if (rows.every(({ want }) => want === "nothing")) await readRanges(gpu, []);
    await this.#mask(drawing);
    const blocks = await this.#weigh(runs, drawing);
    const asked = rows
      .filter(({ want }) => want !== "nothing")
      .map((row) => this.#asked(row, blocks[drawing.indexOf(row)]));
    const there = await this.#bring(asked);
    if (!head.merged) return rows.map(() => undefined);
    const outcomes = new Map<PlacedRow, Outcome>();
    const whole = asked.filter(({ row }) => !draws(row.want));
    for (const one of whole) outcomes.set(one.row, rowOf(there.get(one)!, head.vocab));
    const picked = await this.#pick(head.merged, drawing, blocks, (merged) => {
      for (const [one, pieces] of there) if (draws(one.row.want)) this.#put(merged, drawing, one, pieces);
    });
    for (const [i, row] of drawing.entries()) outcomes.set(row, picked[i]);
    return rows.map((row) => outcomes.get(row));
  }

  /** Only the device that leads knows what may be drawn: it finds out while all of them compute. */
  async #mask(drawing: readonly PlacedRow[]): Promise<void> {
    const { gpu, memory, head, exchange } = this.#parts;
    const masked = drawing.filter(({ slot }) => this.#slots.of(slot).start.masked);
    if (masked.length === 0) return;
    const width = 1 + Math.ceil(head.vocab / 32);
    const own = new Uint32Array(head.rank === 0 ? masked.length * width : 0);
    for (const [i, { want }] of masked.entries()) {
      const allowed = head.rank === 0 && typeof want === "object" ? want.mask?.() : undefined;
      if (!allowed) continue;
      own[i * width] = 1;
      own.set(allowed.subarray(0, width - 1), i * width + 1);
    }
    const [all] = await exchange.gather(
      own,
      head.spans.map((_, rank) => (rank === 0 ? masked.length * width : 0)),
    );
    const { from, to } = head.spans[head.rank]!;
    for (const [i, { slot }] of masked.entries()) {
      const [known, ...rest] = [i * width, i * width + 1 + from / 32, i * width + 1 + Math.ceil(to / 32)];
      if (all![known!] === 1) writeMask(gpu, memory, slot, all!.subarray(...rest));
    }
  }

  /** Of each row that draws all its blocks. */
  async #weigh(runs: readonly Ran[], drawing: readonly PlacedRow[]): Promise<Blocks[]> {
    if (drawing.length === 0) return [];
    const { gpu, head, exchange } = this.#parts;
    const size = head.block;
    const counts = head.spans.map(({ from, to }) => blockWords * (Math.ceil(to / size) - from / size));
    const own = 4 * counts[head.rank]!;
    const ranges = drawing.map(({ outputs, at }) => ({
      ...{ source: bufferOf(outputs!.records), offset: own * at, bytes: own },
    }));
    const read = await readRanges(gpu, ranges, (last) => submitDraws(gpu, runs, last));
    const parts = await exchange.gather(
      joined(read),
      counts.map((count) => count * drawing.length),
    );
    return drawing.map((_, i) => {
      const pieces = parts.map((part, rank) => {
        const words = part.slice(i * counts[rank]!, (i + 1) * counts[rank]!);
        return withIds(words, head.spans[rank]!.from);
      });
      return { words: joined(pieces), size };
    });
  }

  /** All devices find the same. */
  #asked(row: PlacedRow, blocks: Blocks | undefined): Asked {
    const { head, needed = neededBlocks } = this.#parts;
    if (!blocks) return { row, logits: everyBlock(Math.ceil(head.vocab / head.block)), keys: [] };
    const { start, drawn, adjusted } = this.#slots.of(row.slot);
    const wanted = needed(blocks, start, drawn);
    markAbsent(blocks, wanted.drawn);
    if (adjusted) return { row, logits: wanted.told, keys: wanted.drawn };
    return { row, logits: [...new Set([...wanted.drawn, ...wanted.told])].sort((a, b) => a - b), keys: [] };
  }

  /** What was asked, with the number of the first logit, or key, of each piece. */
  async #bring(asked: readonly Asked[]): Promise<Map<Asked, Piece[]>> {
    const { gpu, head, memory, exchange } = this.#parts;
    const pieces = head.spans.map((span) => asked.flatMap((one) => piecesOf(one, span, head.block)));
    const lengths = pieces.map((own) => own.reduce((sum, { from, to }) => sum + to - from, 0));
    const there = new Map<Asked, Piece[]>(asked.map((one) => [one, []]));
    if (lengths.every((length) => length === 0)) return there;
    const first = head.spans[head.rank]!.from;
    const width = memory.keys.shape[1]!;
    const ranges = pieces[head.rank]!.map(({ of, kind, from, to }): Range => {
      const { outputs, at, slot } = of.row;
      const [tensor, row] = kind === "logits" ? [outputs!.logits, at] : [memory.keys, slot];
      return { source: bufferOf(tensor), offset: 4 * (row * width + from - first), bytes: 4 * (to - from) };
    });
    const parts = await exchange.gather(joined(await readRanges(gpu, ranges)), lengths);
    for (const [rank, part] of parts.entries()) {
      let at = 0;
      for (const piece of pieces[rank]!) {
        const words = part.subarray(at, (at += piece.to - piece.from));
        there.get(piece.of)!.push({ ...piece, words });
      }
    }
    return there;
  }

  #put(
    { logits, memory }: Merged,
    drawing: readonly PlacedRow[],
    { row }: Asked,
    pieces: readonly Piece[],
  ): void {
    const { queue } = this.#parts.gpu.device;
    const V = this.#parts.head.vocab;
    for (const { kind, from, words } of pieces) {
      const [tensor, of] = kind === "logits" ? [logits, drawing.indexOf(row)] : [memory.keys, row.slot];
      queue.writeBuffer(bufferOf(tensor), 4 * (of * V + from), words!);
    }
  }

  /** A draw of each row. `put`: brings what it needs there. */
  async #pick(
    merged: Merged,
    drawing: readonly PlacedRow[],
    blocks: readonly Blocks[],
    put: (merged: Merged) => void,
  ): Promise<Outcome[]> {
    if (drawing.length === 0) return [];
    const { gpu, head } = this.#parts;
    const { queue } = gpu.device;
    const each = drawing.map(({ slot }) => ({ row: 0, slot }));
    queue.writeBuffer(bufferOf(merged.step), 0, stepValues({ each }));
    queue.writeBuffer(bufferOf(merged.blocks), 0, joined(blocks.map(({ words }) => words)));
    put(merged);
    const ranges = drawing.map(({ want }, t) => recordRange(merged.records, t, candidatesOf(want)));
    const read = await readRanges(gpu, ranges, (last) => {
      merged.plan.submit(drawing.length, Infinity, last);
    });
    return read.map((bytes, t) => {
      const draw = readRecord(bytes, head.vocab, candidatesOf(drawing[t]!.want));
      this.drew(drawing[t]!.slot, draw.id);
      return draw;
    });
  }
}

/** Neighbouring logits, or keys, of what was asked: from … to − 1 of the vocabulary. */
interface Piece {
  readonly of: Asked;
  readonly kind: "logits" | "keys";
  readonly from: number;
  readonly to: number;
  readonly words?: Words;
}

/** What one device has of it. */
function piecesOf(of: Asked, span: { from: number; to: number }, size: number): Piece[] {
  const pieces: Piece[] = [];
  for (const kind of ["logits", "keys"] as const)
    for (const block of of[kind]) {
      const from = block * size;
      if (from < span.from || from >= span.to) continue;
      const to = Math.min(from + size, span.to);
      const last = pieces.at(-1);
      if (last?.kind === kind && last.to === from) pieces[pieces.length - 1] = { ...last, to };
      else pieces.push({ of, kind, from, to });
    }
  return pieces;
}

function rowOf(pieces: readonly Piece[], vocab: number): Float32Array {
  const row = new Uint32Array(vocab);
  for (const { from, words } of pieces) row.set(words!, from);
  return new Float32Array(row.buffer);
}

/** Blocks of a part with the numbers that tokens have in the whole. */
function withIds(words: Words, first: number): Words {
  for (let at = 0; at < words.length; at += blockWords) {
    words[at + 1]! += first;
    words[at + 3]! += first;
  }
  return words;
}

function joined(parts: readonly (ArrayBuffer | Words)[]): Words {
  const views = parts.map((part) => (part instanceof ArrayBuffer ? new Uint32Array(part) : part));
  const all = new Uint32Array(views.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const view of views) {
    all.set(view, at);
    at += view.length;
  }
  return all;
}
