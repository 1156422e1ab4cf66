// What the rank that leads a model and one that follows say to each other, over a port of the model's own. Every request
// has one reply, in the order in which they were made; what tells where pages lie or how a slot draws, and copies, have none.
import type { PlainError } from "../../errors.ts";
import type { Split } from "../../parallel/shares.ts";
import type { Table } from "../../parallel/table.ts";
import type { BatchToken } from "../entrance.ts";
import type { DrawStart } from "../../ops/sample.ts";
import type { MemoryPlan } from "../memoryPlan.ts";
import type { PartFigures } from "../part.ts";
import type { DrawWant, Want } from "../runner.ts";
import type { Copy, TableWrite } from "../schedulerTypes.ts";
import type { LoadOptions } from "../types.ts";

/** What a rank is to build. */
export interface RankOrder {
  folder: string;
  options: LoadOptions;
  rank: number;
  /** What each rank has. */
  split: Split;
  table: Table;
  /** How long a rank may let the others wait for it, ms. */
  limitMs: number;
  plan: MemoryPlan;
}

/** A piece of a prompt, whole in itself. */
export interface AnnouncedPrefill {
  slot: number;
  /** Tokens of the sequence that are there already. */
  past: number;
  ids: readonly number[];
  /** [3, ids.length] */
  positions: Uint32Array<ArrayBuffer>;
  pictures: readonly AnnouncedPicture[];
  snapshot: number | undefined;
  /** Of what follows its last token. */
  want: AnnouncedWant;
}

/** What the rank that leads wants of a row; how it draws the others know. */
export type AnnouncedWant = Exclude<Want, DrawWant>;

/** What a picture puts in the place of tokens from `at` on: [tokens, H]. */
export interface AnnouncedPicture {
  at: number;
  tokens: number;
  values: Float32Array<ArrayBuffer>;
}

/** What the rank that leads drew. */
export interface AnnouncedDraw {
  slot: number;
  id: number;
}

export interface AnnouncedTurn {
  /** In the turn before, of sequences that go on. */
  drawn: readonly AnnouncedDraw[];
  tokens: readonly (BatchToken & { want: AnnouncedWant })[];
  prefill: AnnouncedPrefill | undefined;
}

export type ToFollower =
  | { type: "load"; order: RankOrder }
  /** Sums of a token's hidden state, ahead of a load: what they take. */
  | { type: "rehearse"; table: Table; rank: number; limitMs: number; hidden: number }
  /** What the driver compiles late. */
  | { type: "compile" }
  /** Together with all other ranks. */
  | { type: "warmUp" }
  | { type: "tell"; write: TableWrite }
  | { type: "copy"; copy: Copy }
  | { type: "start"; slot: number; start: DrawStart }
  | { type: "turn"; turn: AnnouncedTurn }
  /** The last one. */
  | { type: "unload" };

/** `figures`: of what was loaded. */
export type FromFollower = { type: "done"; figures?: PartFigures } | { type: "failed"; error: PlainError };
