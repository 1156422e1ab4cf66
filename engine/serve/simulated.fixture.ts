// A device that computes nothing but remembers all: rows of pages and states are hashes of what a model would have
// seen, read through the page tables that the steps wrote. A token drawn from them is right only if every row of the
// sequence, and its state, is exactly that of its own history.
import type { Picture } from "./content.ts";
import { PAGE } from "./pages.ts";
import type { Copy, Drawn, Prefill, SequenceRequest, Step } from "./schedulerTypes.ts";

/** Ids that a simulated model draws; `stop` ends an answer. */
export const vocabulary = { size: 150, stop: 0, picture: 77, special: 99 };

/** What the device may be made to forget, to show that a test would see it. */
export type Forgotten = Copy["kind"] | "table" | "snapshot" | undefined;

interface Slot {
  sequence: number;
  rows: number;
  table: (number | undefined)[];
  /** The last token drawn. */
  drawn?: number;
}

export class SimulatedDevice {
  readonly slots = new Map<number, Slot>();
  readonly #pages = new Map<number, number[]>();
  readonly #states = new Map<number, number>();
  readonly #snapshots = new Map<number, number>();
  readonly #hybrid: boolean;
  readonly #answering: ReadonlyMap<number, SequenceRequest>;
  readonly #forget: Forgotten;

  constructor(hybrid: boolean, answering: ReadonlyMap<number, SequenceRequest>, forget?: Forgotten) {
    this.#hybrid = hybrid;
    this.#answering = answering;
    this.#forget = forget;
  }

  run(step: Step): Drawn[] {
    for (const { sequence } of step.ended) this.leave(sequence);
    for (const sequence of step.preempted) this.leave(sequence);
    for (const { sequence, slot, from } of step.started) {
      if (this.slots.has(slot)) throw new Error(`slot ${slot} has two sequences`);
      this.slots.set(slot, { sequence, rows: from, table: this.#forget === "table" ? [0] : [] });
    }
    for (const { slot, first, pages } of step.tables) {
      if (this.#forget === "table" && first > 0) continue;
      for (const [i, page] of pages.entries()) this.#slot(slot).table[first + i] = page;
    }
    for (const copy of step.copies) if (copy.kind !== this.#forget) this.#copy(copy);
    const decoded = step.decode.map(({ sequence, slot, row, token }) =>
      this.#draw(slot, sequence, this.#compute(slot, sequence, row, [token ?? this.#drawn(slot)]), row + 1),
    );
    return step.prefill ? [...decoded, ...this.#prefill(step.prefill)] : decoded;
  }

  leave(sequence: number): void {
    for (const [slot, held] of this.slots) if (held.sequence === sequence) this.slots.delete(slot);
  }

  #prefill({ sequence, slot, from, to, tokens, logits, snapshot }: Prefill): Drawn[] {
    if (tokens.length !== to - from) throw new Error(`${tokens.length} tokens for rows ${from} to ${to}`);
    const seen = this.#compute(slot, sequence, from, tokens);
    if (snapshot !== undefined && this.#forget !== "snapshot")
      this.#snapshots.set(snapshot, this.#states.get(slot)!);
    return logits ? [this.#draw(slot, sequence, seen, to)] : [];
  }

  #copy(copy: Copy): void {
    if (copy.kind === "page") this.#pages.set(copy.to, [...(this.#pages.get(copy.from) ?? [])]);
    else if (copy.kind === "clear") this.#states.set(copy.slot, 0);
    else this.#states.set(copy.slot, this.#snapshots.get(copy.snapshot)!);
  }

  /** Writes rows `from` on, as their tokens are seen behind all rows before them; returns what the last one saw. */
  #compute(index: number, sequence: number, from: number, tokens: readonly number[]): number {
    const slot = this.#slot(index);
    if (slot.sequence !== sequence) throw new Error(`slot ${index} is not that of ${sequence}`);
    if (slot.rows !== from) throw new Error(`row ${from} of sequence ${sequence}, which has ${slot.rows}`);
    let digest = 0;
    for (let start = 0; start < from; start += PAGE) {
      const rows = this.#page(slot, start);
      for (let i = 0; i < Math.min(PAGE, from - start); i += 1) digest = mix(digest, rows[i] ?? -1);
    }
    let state = this.#states.get(index) ?? -1;
    for (const [i, token] of tokens.entries()) {
      const row = from + i;
      this.#refuseShared(slot, row);
      const value = mix(digest, meaning(this.#answering.get(sequence)!, row, token));
      this.#page(slot, row)[row % PAGE] = value;
      digest = mix(digest, value);
      state = mix(state, value);
    }
    this.#states.set(index, state);
    slot.rows = from + tokens.length;
    return this.#hybrid ? mix(digest, state) : digest;
  }

  #drawn(slot: number): number {
    const { drawn, sequence } = this.#slot(slot);
    if (drawn === undefined) throw new Error(`nothing was drawn for sequence ${sequence}`);
    return drawn;
  }

  #draw(slot: number, sequence: number, seen: number, length: number): Drawn {
    const { prompt } = this.#answering.get(sequence)!;
    const token = drawn(seen, sequence, length - prompt.length);
    this.#slot(slot).drawn = token;
    return { sequence, token, stop: token === vocabulary.stop };
  }

  #page(slot: Slot, row: number): number[] {
    const page = slot.table[Math.floor(row / PAGE)];
    if (page === undefined) throw new Error(`row ${row} of sequence ${slot.sequence} has no page`);
    const rows = this.#pages.get(page) ?? [];
    this.#pages.set(page, rows);
    return rows;
  }

  #refuseShared(slot: Slot, row: number): void {
    if (this.#forget) return;
    const page = slot.table[Math.floor(row / PAGE)];
    for (const other of this.slots.values())
      if (other !== slot && other.table.includes(page))
        throw new Error(`sequences ${slot.sequence} and ${other.sequence} both have page ${page}`);
  }

  #slot(index: number): Slot {
    const slot = this.slots.get(index);
    if (!slot) throw new Error(`nobody is in slot ${index}`);
    return slot;
  }
}

/** The whole answer, from the tokens alone. */
export function expectedAnswer(
  request: SequenceRequest,
  { hybrid, contextLength }: { hybrid: boolean; contextLength: number },
): number[] {
  const tokens = [...request.prompt];
  let [digest, state] = [0, 0];
  for (let row = 0; ; row += 1) {
    const value = mix(digest, meaning(request, row, tokens[row]!));
    digest = mix(digest, value);
    state = mix(state, value);
    const made = tokens.length - request.prompt.length;
    if (row + 1 < tokens.length) continue;
    const token = drawn(hybrid ? mix(digest, state) : digest, request.id, made);
    tokens.push(token);
    const full = made + 1 >= request.maxTokens || tokens.length >= contextLength;
    if (token === vocabulary.stop || full) return tokens.slice(request.prompt.length);
  }
}

/** What a row's token stands for: itself, or a part of a picture as it really looks. */
function meaning({ pictures = [] }: SequenceRequest, row: number, token: number): number {
  const within = pictures.find(({ at, rows, columns }) => at <= row && row < at + rows * columns);
  return within ? mix(looks(within), row - within.at) : token;
}

/** What a picture's hash tells of it; `pixels` is there where a test lets two pictures have one hash. */
function looks({ hash, ...rest }: Picture & { pixels?: string }): number {
  return [...(rest.pixels ?? hash)].reduce((sum, letter) => mix(sum, letter.charCodeAt(0)), 1);
}

/** Each sequence draws in its own way. */
function drawn(seen: number, id: number, made: number): number {
  return mix(mix(seen, id), made) % vocabulary.size;
}

/** A new hash of a hash and a number, below 2³². */
export function mix(hash: number, value: number): number {
  let h = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d) ^ Math.imul(value + 0x9e3779b9, 0x297a2d39);
  h = Math.imul(h ^ (h >>> 12), 0x85ebca6b);
  return (h ^ (h >>> 16)) >>> 0;
}
