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
  readonly content: Content;
  /** The first answer to the same prompt, for the others. */
  readonly leader: Sequence | undefined;
  /** Token counts behind which the state is worth saving (snapshotPoints). */
  readonly points: readonly number[];
  /** Token count at which the other answers to the prompt part from this one. */
  readonly forkAt: number | undefined;
  readonly table: PageTable;
  slot: number | undefined;
  /** Tokens whose keys, values and state are there. */
  computed: number;
  cachedTokens: number | undefined;
  cancelled: boolean;
}

/** The sequences of a request, the first of which leads the others. */
export function sequencesOf(request: SequenceRequest, options: SchedulerOptions, order: number): Sequence[] {
  const { ids, prompt, principal, pictures = [], maxTokens } = request;
  const special = new Set(options.specialTokens);
  const slots = options.prefixCache && options.states ? options.snapshots : 0;
  const points = snapshotPoints(prompt, special, { chunk: options.chunk, slots });
  // The others begin with all of the prompt but its last token, which each computes for itself.
  const forkAt = ids.length > 1 ? prompt.length - 1 : undefined;
  let leader: Sequence | undefined;
  return ids.map((id, i) => {
    const sequence: Sequence = {
      ...{ id, order: order + i, principal, maxTokens, leader, points, forkAt: i === 0 ? forkAt : undefined },
      ...{ promptTokens: prompt.length, content: new Content(prompt, pictures), table: new PageTable() },
      ...{ slot: undefined, computed: 0, cachedTokens: undefined, cancelled: false },
    };
    leader ??= sequence;
    return sequence;
  });
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

/** Where the next prefill run ends: chunk boundaries are counted from the sequence's start, whatever was reused. */
export function nextCut({ content, computed, points, forkAt }: Sequence, chunk: number): number {
  const boundary = (Math.floor(computed / chunk) + 1) * chunk;
  const ahead = [...points, forkAt ?? 0].filter((cut) => cut > computed);
  return Math.min(boundary, content.tokens.length, ...ahead);
}

/** Whether nothing but the prompt is there yet. */
export function isFresh({ content, promptTokens }: Sequence): boolean {
  return content.tokens.length === promptTokens;
}

/** Puts it where the order of arrival has it. */
export function insert(list: Sequence[], sequence: Sequence): void {
  const behind = list.findIndex(({ order }) => order > sequence.order);
  list.splice(behind < 0 ? list.length : behind, 0, sequence);
}
