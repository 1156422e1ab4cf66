// The rank that leads a model: what its runner is told, the others are told as well, and all take their turns together.
// A turn that fails on one rank has failed on all: their memories no longer agree, so the team is over.
import type { Gpu } from "../../gpu/adapter.ts";
import { bufferOf, readRanges, type Range } from "../../gpu/readback.ts";
import type { DrawStart } from "../../ops/sample.ts";
import type { Seat } from "../../parallel/table.ts";
import type { FedPicture } from "../entrance.ts";
import type { DecodeToken, Outcome, PrefillRun, Runner, TurnTaker, Want } from "../runner.ts";
import type { Copy, TableWrite } from "../schedulerTypes.ts";
import type { SumFigures } from "../types.ts";
import type { Followers } from "./followers.ts";
import type { AnnouncedPicture, AnnouncedPrefill, AnnouncedWant } from "./messages.ts";
import { together } from "./together.ts";

export interface LeaderParts {
  gpu: Gpu;
  runner: Runner;
  followers: Followers;
  seat: Seat;
  /** How long the other ranks may take to end when one has failed, before they are no longer waited for, ms. */
  drainMs: number;
  /** Hears that the team is over. */
  lost: (error: unknown) => void;
}

export class Leader implements TurnTaker {
  readonly #parts: LeaderParts;
  readonly #runner: Runner;
  /** What was drawn in each slot since the others last heard of it. */
  readonly #drawn = new Map<number, number>();

  constructor(parts: LeaderParts) {
    this.#parts = parts;
    this.#runner = parts.runner;
  }

  get contextLength(): number {
    return this.#runner.contextLength;
  }

  get slots(): number {
    return this.#runner.slots;
  }

  get pages(): number {
    return this.#runner.pages;
  }

  get snapshots(): number {
    return this.#runner.snapshots;
  }

  get pageBytes(): number {
    return this.#runner.pageBytes;
  }

  get stateBytes(): number {
    return this.#runner.stateBytes;
  }

  /** A turn of several devices is over when all of them are. */
  get ahead(): number {
    return 0;
  }

  get sums(): SumFigures | undefined {
    const { exchange } = this.#parts.seat.peers;
    return exchange && { ...exchange.times };
  }

  tell(write: TableWrite): void {
    this.#parts.followers.post({ type: "tell", write });
    this.#runner.tell(write);
  }

  copy(copy: Copy): void {
    this.#parts.followers.post({ type: "copy", copy });
    this.#runner.copy(copy);
  }

  /** Where layers are divided the others need not know: only this rank has logits. */
  start(slot: number, start: DrawStart): void {
    if (this.#parts.seat.by === "tensor") {
      const { prompt } = start;
      const told = { ...start, prompt: start.sampling.repetitionPenalty === 1 ? [] : prompt };
      this.#parts.followers.post({ type: "start", slot, start: told });
    }
    this.#drawn.delete(slot);
    this.#runner.start(slot, start);
  }

  /** Errors: device_lost and others of any rank; then `lost` has heard it. */
  async turn(tokens: readonly DecodeToken[], prefill?: PrefillRun): ReturnType<TurnTaker["turn"]> {
    const { followers, seat, drainMs, lost } = this.#parts;
    try {
      const announced = {
        drawn: [...this.#drawn].map(([slot, id]) => ({ slot, id })),
        tokens: tokens.map(({ want, ...token }) => ({ ...token, want: announcedWant(want) })),
        prefill: prefill && (await this.#announced(prefill)),
      };
      this.#drawn.clear();
      const others = followers.ask({ type: "turn", turn: announced });
      const own = this.#runner.turn(tokens, prefill);
      await together([own, ...others], (rank) => seat.fail(rank), drainMs);
      const { decoded, prefilled } = await own;
      for (const [i, { slot }] of tokens.entries()) this.#remember(slot, decoded[i]);
      if (prefill) this.#remember(prefill.slot, prefilled);
      return { decoded, prefilled };
    } catch (error) {
      lost(error);
      throw error;
    }
  }

  #remember(slot: number, outcome: Outcome): void {
    if (outcome && "id" in outcome) this.#drawn.set(slot, outcome.id);
  }

  /**
   * Pictures go along as what the tower made of them, so that the tower is on this device alone; where layers are
   * divided, they enter here with the tokens.
   */
  async #announced({ feed, slot, from, to, snapshot, want }: PrefillRun): Promise<AnnouncedPrefill> {
    const staged = this.#parts.seat.by === "pipeline";
    const T = feed.ids.length;
    const positions = new Uint32Array(3 * (to - from));
    for (let axis = 0; axis < 3; axis += 1)
      positions.set(feed.positions.subarray(axis * T + from, axis * T + to), axis * (to - from));
    const pictures = staged ? [] : await this.#picturesWithin(feed.pictures, from, to);
    const ids = feed.ids.slice(from, to);
    return { slot, past: from, ids, positions, pictures, snapshot, want: announcedWant(want) };
  }

  async #picturesWithin(
    pictures: readonly FedPicture[],
    from: number,
    to: number,
  ): Promise<AnnouncedPicture[]> {
    const pieces: { at: number; tokens: number; range: Range }[] = [];
    for (const { at, embedding } of pictures) {
      if (!("storage" in embedding)) throw new Error("a picture from another device");
      const [rows, width] = embedding.shape as [number, number];
      const [first, last] = [Math.max(at, from), Math.min(at + rows, to)];
      if (first >= last) continue;
      const range = {
        ...{ source: bufferOf(embedding), offset: 4 * width * (first - at) },
        bytes: 4 * width * (last - first),
      };
      pieces.push({ at: first - from, tokens: last - first, range });
    }
    if (pieces.length === 0) return [];
    const read = await readRanges(
      this.#parts.gpu,
      pieces.map(({ range }) => range),
    );
    return pieces.map(({ at, tokens }, i) => ({ at, tokens, values: new Float32Array(read[i]!) }));
  }
}

function announcedWant(want: Want): AnnouncedWant {
  return typeof want === "object" ? "token" : want;
}
