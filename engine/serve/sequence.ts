// A sequence in the scheduler: what it consists of, how much of it is computed, where it lies.
import { Content } from "./content.ts";
import { PageTable } from "./pages.ts";
import { snapshotPoints } from "./prefix.ts";
import type { SchedulerOptions, SequenceRequest, Usage } from "./schedulerTypes.ts";

export interface Sequence {
  readonly id: number;
  /** Place in the order of arrival. */
  readonly order: number;
  readonly principal: string | undefined;
  readonly promptTokens: number;
  readonly maxTokens: number;
  readonly family: number | undefined;
  readonly content: Content;
  /** Whether it looks for what others have computed, and lets others find what it computes. */
  readonly shares: boolean;
  /** Token counts behind which the state is worth saving (snapshotPoints). */
  readonly points: readonly number[];
  readonly table: PageTable;
  slot: number | undefined;
  readonly stepwise: boolean;
  /** Tokens whose keys, values and state are there. */
  computed: number;
  /** The same when all turns in flight are done. */
  planned: number;
  cachedTokens: number | undefined;
  cancelled: boolean;
}

export function sequenceOf(request: SequenceRequest, options: SchedulerOptions, order: number): Sequence {
  const { id, prompt, principal, pictures = [], maxTokens, family, stepwise = false } = request;
  const { prefixCache, strict = false } = options;
  const name = prefixCache || family === undefined ? "" : ` of ${family}`;
  return {
    ...{ id, order, principal, maxTokens, family, stepwise, points: pointsOf(request, options) },
    ...{ shares: !strict && (prefixCache || family !== undefined), promptTokens: prompt.length },
    ...{ content: new Content(prompt, pictures, name), table: new PageTable() },
    ...{ slot: undefined, computed: 0, planned: 0, cachedTokens: undefined, cancelled: false },
  };
}

/** Where its state is saved: for whoever begins alike, or for its family alone. */
function pointsOf({ prompt, family }: SequenceRequest, options: SchedulerOptions): number[] {
  const { prefixCache, states, chunk, specialTokens } = options;
  if (options.strict) return [];
  const slots = states ? options.snapshots : 0;
  const repeated = family !== undefined;
  if (prefixCache) return snapshotPoints(prompt, new Set(specialTokens), { chunk, slots, repeated });
  return slots > 0 && repeated && prompt.length > 1 ? [prompt.length - 1] : [];
}

/** Tokens that are not computed. One: it takes part in the decode run, and its logits give the next. */
export function remaining({ content, computed }: Sequence): number {
  return content.tokens.length - computed;
}

export function usageOf({ content, promptTokens, cachedTokens }: Sequence): Usage {
  const completionTokens = content.tokens.length - promptTokens;
  return { promptTokens, completionTokens, cachedTokens: cachedTokens ?? 0 };
}

/** Whether the sequence may have no further token. */
export function isFull({ content, promptTokens, maxTokens }: Sequence, contextLength: number): boolean {
  const { length } = content.tokens;
  return length - promptTokens >= maxTokens || length >= contextLength;
}

/** The same when the turns in flight have drawn its next token, if nothing ends it before. */
export function willBeFull({ planned, promptTokens, maxTokens }: Sequence, contextLength: number): boolean {
  const length = planned + 1;
  return length - promptTokens >= maxTokens || length >= contextLength;
}

/** Whether nothing but its next draw is needed for one more token. */
export function goesOn({ planned, content, cancelled, stepwise }: Sequence): boolean {
  return planned >= content.tokens.length && !cancelled && !stepwise;
}

/** Tokens that it has in the end, if nothing ends it before. */
export function mostLength({ promptTokens, maxTokens }: Sequence, contextLength: number): number {
  return Math.min(promptTokens + maxTokens, contextLength);
}

/** Where the next prefill run ends: chunk boundaries are counted from the sequence's start, whatever was reused. */
export function nextCut({ content, computed, points }: Sequence, chunk: number): number {
  const boundary = (Math.floor(computed / chunk) + 1) * chunk;
  const ahead = points.filter((cut) => cut > computed);
  return Math.min(boundary, content.tokens.length, ...ahead);
}

/** Puts it where the order of arrival has it. */
export function insert(list: Sequence[], sequence: Sequence): void {
  const behind = list.findIndex(({ order }) => order > sequence.order);
  list.splice(behind < 0 ? list.length : behind, 0, sequence);
}
