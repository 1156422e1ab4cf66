// What the scheduler is told and what it decides, as plain data: a turn can be logged, compared and replayed.
import type { Picture } from "./content.ts";
import { PAGE, pagesFor } from "./pages.ts";
import type { Reuse } from "./prefix.ts";

export interface SchedulerOptions {
  /** Sequences that run at once. */
  slots: number;
  /** Of the KV cache; at least those of one full context, so that a sequence alone always comes to its end. */
  pages: number;
  /** Tokens of prompt and answer together. */
  contextLength: number;
  /** Most tokens of a prefill run; whole pages. */
  chunk: number;
  /** Sequences that may wait beside those that run. */
  maxQueue: number;
  /** Sequences that one principal may have, running and waiting; Infinity for no limit. */
  maxPerPrincipal: number;
  /** Whether the model has layers whose state belongs to a slot (delta nets), besides pages. */
  states: boolean;
  prefixCache: boolean;
  /** Slots for saved states; 0 where the model has none. */
  snapshots: number;
  /** See snapshotPoints. */
  specialTokens: readonly number[];
  /**
   * Nothing that others do changes how a sequence is computed: it begins at its first token, when there are pages for all
   * that it may become, and keeps them. Default: false.
   */
  strict?: boolean;
}

export interface SequenceRequest {
  /** No other's that is here. */
  id: number;
  /** Whose limit it counts against; none without. */
  principal?: string;
  prompt: readonly number[];
  /** In order; their tokens are in the prompt. */
  pictures?: readonly Picture[];
  /** At least 1. The context bounds it as well. */
  maxTokens: number;
  /** Others of the same number follow with the same prompt: all of it is kept for them, and without a prefix cache for them alone. */
  family?: number | undefined;
  /** Its next token must be known before the turn behind it is planned; default: false. */
  stepwise?: boolean;
}

export interface Usage {
  promptTokens: number;
  completionTokens: number;
  /** Of the prompt, not computed when the sequence first got a slot. */
  cachedTokens: number;
}

/** A sequence that is no longer here; its slot and pages may belong to others from the next step on. */
export interface Ended {
  sequence: number;
  reason: "stop" | "length" | "cancelled" | "failed";
  usage: Usage;
}

/** A sequence that got a slot, for the first time or again after a preemption. */
export interface Started {
  sequence: number;
  slot: number;
  /** Tokens whose pages and state are there already; what follows is computed. */
  from: number;
  /** Position of token `from` less `from`, where no picture is cut there. */
  ropeDelta: number;
}

/** Whole pages in every attention layer, or the state of a sequence in every delta-net layer. */
export type Copy =
  | { kind: "page"; from: number; to: number }
  | { kind: "clear"; slot: number }
  | { kind: "restore"; snapshot: number; slot: number };

/** Entries first … of the slot's row in the page table. */
export interface TableWrite {
  slot: number;
  first: number;
  pages: number[];
}

/** One token of one sequence: its keys and values go to row `row`, and it yields logits. */
export interface DecodeRow {
  sequence: number;
  slot: number;
  row: number;
  /** undefined: what a turn in flight draws for the sequence. */
  token: number | undefined;
}

/** Tokens of one sequence: rows from … to − 1. */
export interface Prefill {
  sequence: number;
  slot: number;
  from: number;
  to: number;
  tokens: number[];
  /** Whether the logits behind the last token are wanted: the prompt ends here. */
  logits: boolean;
  /** Slot to which the state is saved afterwards. */
  snapshot: number | undefined;
}

/**
 * A turn. The device does, in this order: the table writes, the copies one after another, the decode run, the prefill
 * run, the snapshot. Nothing in a later step may overtake.
 */
export interface Step {
  turn: number;
  /** Cancelled since the last step. */
  ended: Ended[];
  /** Back to the queue with all their tokens, slot and pages gone. */
  preempted: number[];
  started: Started[];
  tables: TableWrite[];
  copies: Copy[];
  /** By slot; at most one row a slot. */
  decode: DecodeRow[];
  prefill: Prefill | undefined;
}

/** What was drawn for a sequence that the step gave logits. */
export interface Drawn {
  sequence: number;
  token: number;
  /** It was the last, whatever the scheduler's own limits say. */
  stop: boolean;
}

export interface SchedulerStats {
  running: number;
  waiting: number;
  preemptions: number;
  pages: { total: number; used: number; idle: number; free: number };
  prefix: { lookups: number; hits: number; lookedUpTokens: number; reusedTokens: number } & {
    pages: number;
    snapshots: number;
  };
}

/** What can be reused of a model. */
export function reuseOf({ states, snapshots }: SchedulerOptions): Reuse {
  if (!states) return "pages";
  return snapshots > 0 ? "states" : "nothing";
}

/** Throws where no scheduler could work by them. */
export function checkOptions({
  slots,
  pages,
  contextLength,
  chunk,
  states,
  snapshots,
}: SchedulerOptions): void {
  if (slots < 1) throw new Error("a scheduler without slots");
  if (chunk < PAGE || chunk % PAGE !== 0) throw new Error(`a chunk of ${chunk} tokens is not whole pages`);
  if (pages < pagesFor(contextLength)) throw new Error(`${pages} pages for a context of ${contextLength}`);
  if (snapshots > 0 && !states) throw new Error("snapshots of a model that has no states");
}
