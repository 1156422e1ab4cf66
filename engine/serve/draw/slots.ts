// How the sequence in each slot draws and what it has drawn, on the host: where the logits are on several devices, each of
// them has to know it ahead of the draw.
import { countsOf, isCounted, type DrawStart } from "../../ops/sample.ts";

export interface SlotDraws {
  readonly start: DrawStart;
  /** Some logit may differ from what the model gave. */
  readonly adjusted: boolean;
  /** Tokens that were drawn so far. */
  drawn: number;
  /** Of tokens of prompt and answer, where that matters: DrawMemory.counts. */
  readonly counts: Map<number, number> | undefined;
}

/** Whoever has not begun takes the likeliest. */
const neutral: DrawStart = {
  sampling: {
    ...{ temperature: 0, topK: 0, topP: 1, minP: 0, seed: 0 },
    ...{ repetitionPenalty: 1, presencePenalty: 0, frequencyPenalty: 0, logitBias: {} },
  },
  ...{ prompt: [], drawn: [], candidates: undefined, masked: false },
};

export class Slots {
  readonly #vocab: number;
  readonly #slots = new Map<number, SlotDraws>();

  constructor(vocab: number) {
    this.#vocab = vocab;
  }

  of(slot: number): SlotDraws {
    return this.#slots.get(slot) ?? this.start(slot, neutral);
  }

  start(slot: number, start: DrawStart): SlotDraws {
    const { sampling, masked, drawn } = start;
    const topK = sampling.topK < this.#vocab ? sampling.topK : 0;
    const counted = isCounted(start);
    const draws = {
      start: { ...start, prompt: [], drawn: [], sampling: { ...sampling, topK } },
      adjusted: counted || masked || Object.keys(sampling.logitBias).length > 0,
      drawn: drawn.length,
      counts: counted ? countsOf(start) : undefined,
    };
    this.#slots.set(slot, draws);
    return draws;
  }

  /** A token was drawn; its count, where that matters. */
  drew(slot: number, id: number): number | undefined {
    const draws = this.of(slot);
    draws.drawn += 1;
    if (!draws.counts) return undefined;
    const count = ((draws.counts.get(id) ?? 0) + 1) >>> 0;
    draws.counts.set(id, count);
    return count;
  }
}
