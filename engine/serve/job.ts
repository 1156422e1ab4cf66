// One request on the device's side: what it draws with, what it has drawn, and what its caller hears.
import type { Grammars, Matcher } from "../grammar/matcher.ts";
import { createFeed, type FedPicture, type Feed } from "./entrance.ts";
import type { DecodeToken, Outcome, PrefillRun, Want } from "./runner.ts";
import { createSampler, type Sampler } from "./sampler.ts";
import type { DecodeRow, Drawn, Ended, Prefill } from "./schedulerTypes.ts";
import type { CacheFigures, GenerateEvent, GenerateRequest, ImageUsage, Usage } from "./types.ts";

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
  readonly #figures: () => CacheFigures;
  readonly #matcher: Matcher | undefined;
  readonly #sampler: Sampler | undefined;
  readonly #stops: ReadonlySet<number>;
  readonly #drawn: number[] = [];
  #held: HeldPictures | undefined;
  #feed: Feed | undefined;
  /** What the grammar lets come next, or why it cannot say. */
  #allowed: { tokens?: Uint32Array; error?: unknown } = {};
  #begun: number | undefined;
  #prefilled: number | undefined;

  constructor(
    id: number,
    request: GenerateRequest,
    listener: Listener,
    figures: () => CacheFigures,
    grammars?: Grammars,
  ) {
    this.id = id;
    this.request = request;
    this.#listener = listener;
    this.#figures = figures;
    this.#stops = new Set(request.stopTokens);
    this.#matcher = matcherOf(request, grammars);
    this.#sampler = samplerOf(request);
  }

  hold(pictures: HeldPictures): void {
    this.#held = pictures;
  }

  /** It has a slot: for the first time, or again with what it had drawn. Of its tokens `cached` are there already. */
  start(cached: number): void {
    this.#feed = createFeed([...this.request.prompt, ...this.#drawn], this.#held?.pictures ?? [], 0);
    if (this.#begun !== undefined) return;
    this.#begun = performance.now();
    const promptTokens = this.request.prompt.length;
    const cache = this.#figures();
    this.#listener.event({ type: "started", promptTokens, cachedTokens: cached, cache });
  }

  prefill({ slot, from, to, logits, snapshot }: Prefill): PrefillRun {
    return { slot, feed: this.#started, from, to, want: logits ? this.#want : "nothing", snapshot };
  }

  decode({ slot, row, token }: DecodeRow): DecodeToken {
    return { slot, row, id: token, position: row + this.#started.delta, want: this.#want };
  }

  /** Finds out, while the device computes, what the grammar lets come next. */
  foresee(): void {
    try {
      if (this.#matcher) this.#allowed = { tokens: this.#matcher.allowed() };
    } catch (error) {
      this.#allowed = { error };
    }
  }

  /** The next token of what the device gave. Errors: internal where the logits are unhealthy; the grammar's. */
  draw(outcome: Outcome): Drawn {
    if (this.request.embed) return this.#embedded(outcome as Float32Array);
    const { tokens: allowed, error } = this.#allowed;
    if (error !== undefined) throw error;
    const { id, ...probabilities } =
      typeof outcome === "number" ? { id: outcome } : this.#sampler!(outcome as Float32Array, allowed);
    this.#matcher?.accept(id);
    this.#prefilled ??= performance.now();
    this.#drawn.push(id);
    this.#listener.event({ type: "token", id, ...probabilities });
    const stop = this.#stops.has(id) || this.#matcher?.ended === true;
    return { sequence: this.id, token: id, stop };
  }

  #embedded(vector: Float32Array): Drawn {
    this.#prefilled ??= performance.now();
    this.#listener.event({ type: "embedding", vector });
    return { sequence: this.id, token: 0, stop: true }; // no token, but the turn is over
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
    this.#listener.event({ type: "finished", reason, usage, cache: this.#figures() });
  }

  fail(error: unknown): void {
    this.#held?.release();
    this.#listener.failed(error);
  }

  get #want(): Want {
    return this.#sampler || this.request.embed ? "logits" : "token";
  }

  get #started(): Feed {
    if (!this.#feed) throw new Error(`job ${this.id} has no slot`);
    return this.#feed;
  }
}

function matcherOf({ grammar }: GenerateRequest, grammars: Grammars | undefined): Matcher | undefined {
  if (!grammar) return undefined;
  if (!grammars) throw new Error("a grammar before the vocabulary");
  return grammars.open(grammar);
}

/** Greedy without penalties or a grammar needs four bytes from the device and no sampler; all else needs the logits. */
function samplerOf({ sampling, topLogprobs, prompt, grammar }: GenerateRequest): Sampler | undefined {
  const { temperature, repetitionPenalty, presencePenalty, frequencyPenalty, logitBias } = sampling;
  const plain =
    temperature === 0 &&
    repetitionPenalty === 1 &&
    presencePenalty === 0 &&
    frequencyPenalty === 0 &&
    Object.keys(logitBias).length === 0 &&
    topLogprobs === undefined &&
    !grammar;
  return plain ? undefined : createSampler(sampling, prompt, topLogprobs);
}

function noneUsed({ prompt }: GenerateRequest): Ended["usage"] {
  return { promptTokens: prompt.length, completionTokens: 0, cachedTokens: 0 };
}
