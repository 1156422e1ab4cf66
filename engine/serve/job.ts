// One request on the device's side: what it draws with, what it has drawn, and what its caller hears.
import type { FedPicture } from "./entrance.ts";
import { createFeed, type Feed } from "./entrance.ts";
import type { DecodeToken, Outcome, PrefillRun, Want } from "./runner.ts";
import { createSampler, type Sampler } from "./sampler.ts";
import type { DecodeRow, Drawn, Ended, Prefill } from "./schedulerTypes.ts";
import type { GenerateEvent, GenerateRequest, ImageUsage, Usage } from "./types.ts";

/** Hears the events of one request: `finished`, or a failure, is the last. */
export interface Listener {
  event(event: GenerateEvent): void;
  failed(error: unknown): void;
}

/** The embeddings of a request's pictures, held until `release`. */
export interface HeldPictures {
  pictures: FedPicture[];
  usage: ImageUsage;
  release(): void;
}

export class Job {
  readonly id: number;
  readonly request: GenerateRequest;
  /** Raised to end the preparation of its pictures. */
  readonly abort = new AbortController();
  readonly #listener: Listener;
  readonly #sampler: Sampler | undefined;
  readonly #stops: ReadonlySet<number>;
  readonly #drawn: number[] = [];
  #held: HeldPictures | undefined;
  #feed: Feed | undefined;
  #begun: number | undefined;
  #prefilled: number | undefined;

  constructor(id: number, request: GenerateRequest, listener: Listener) {
    this.id = id;
    this.request = request;
    this.#listener = listener;
    this.#stops = new Set(request.stopTokens);
    this.#sampler = samplerOf(request);
  }

  hold(pictures: HeldPictures): void {
    this.#held = pictures;
  }

  /** It has a slot: for the first time, or again with what it had drawn. */
  start(): void {
    this.#feed = createFeed([...this.request.prompt, ...this.#drawn], this.#held?.pictures ?? [], 0);
    if (this.#begun !== undefined) return;
    this.#begun = performance.now();
    this.#listener.event({ type: "started", promptTokens: this.request.prompt.length });
  }

  prefill({ slot, from, to, logits }: Prefill): PrefillRun {
    return { slot, feed: this.#started, from, to, want: logits ? this.#want : "nothing" };
  }

  decode({ slot, row, token }: DecodeRow): DecodeToken {
    return { slot, row, id: token, position: row + this.#started.delta, want: this.#want };
  }

  /** The next token of what the device gave. Errors: internal where the logits are unhealthy. */
  draw(outcome: Outcome): Drawn {
    const { id, ...probabilities } =
      typeof outcome === "number" ? { id: outcome } : this.#sampler!(outcome as Float32Array);
    this.#prefilled ??= performance.now();
    this.#drawn.push(id);
    this.#listener.event({ type: "token", id, ...probabilities });
    return { sequence: this.id, token: id, stop: this.#stops.has(id) };
  }

  finish(reason: Exclude<Ended["reason"], "failed">, counted: Ended["usage"] = noneUsed(this.request)): void {
    this.#held?.release();
    const now = performance.now();
    const begun = this.#begun ?? now;
    const prefilled = this.#prefilled ?? now;
    const usage: Usage = {
      ...counted,
      reasoningTokens: 0,
      prefillMs: prefilled - begun,
      decodeMs: now - prefilled,
      ...(this.#held ? { images: this.#held.usage } : {}),
    };
    this.#listener.event({ type: "finished", reason, usage });
  }

  fail(error: unknown): void {
    this.#held?.release();
    this.#listener.failed(error);
  }

  get #want(): Want {
    return this.#sampler ? "logits" : "token";
  }

  get #started(): Feed {
    if (!this.#feed) throw new Error(`job ${this.id} has no slot`);
    return this.#feed;
  }
}

/** Greedy without penalties needs four bytes from the device and no sampler; all else needs the logits. */
function samplerOf({ sampling, topLogprobs, prompt }: GenerateRequest): Sampler | undefined {
  const { temperature, repetitionPenalty, presencePenalty, frequencyPenalty, logitBias } = sampling;
  const plain =
    temperature === 0 &&
    repetitionPenalty === 1 &&
    presencePenalty === 0 &&
    frequencyPenalty === 0 &&
    Object.keys(logitBias).length === 0 &&
    topLogprobs === undefined;
  return plain ? undefined : createSampler(sampling, prompt, topLogprobs);
}

function noneUsed({ prompt }: GenerateRequest): Ended["usage"] {
  return { promptTokens: prompt.length, completionTokens: 0, cachedTokens: 0 };
}
