// One request on the device's side: what it draws with, what it has drawn, and what its caller hears.
import type { Grammars, Matcher } from "../grammar/matcher.ts";
import { createFeed, type FedPicture, type Feed } from "./entrance.ts";
import { EngineError } from "../errors.ts";
import { type Draw, type DrawStart } from "../ops/sample.ts";
import type { DecodeToken, Outcome, PrefillRun, Want } from "./runner.ts";
import { randomSeed } from "./sampling.ts";
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
  readonly #want: Want;
  /** Its next token must be known before the turn behind it. */
  readonly stepwise: boolean;
  /** Its caller has left: nothing more is heard of it but its end. */
  cancelled = false;
  /** As the request says, or a fresh one: it stays the same when the sequence begins again. */
  readonly #seed: number;
  readonly #stops: ReadonlySet<number>;
  readonly #drawn: number[] = [];
  #held: HeldPictures | undefined;
  #feed: Feed | undefined;
  /** Why the grammar cannot say what may come next. */
  #grammarError: unknown;
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
    this.#seed = request.sampling.seed ?? randomSeed();
    this.stepwise = this.#matcher !== undefined || request.embed === true;
    const mask = this.#matcher && (() => this.#allowed());
    this.#want = request.embed ? "logits" : { candidates: request.topLogprobs, mask };
  }

  hold(pictures: HeldPictures): void {
    this.#held = pictures;
  }

  /**
   * It has a slot: for the first time, or again with what it had drawn. Of its tokens `cached` are there already.
   * Returns how it draws there.
   */
  start(cached: number): DrawStart {
    this.#feed = createFeed([...this.request.prompt, ...this.#drawn], this.#held?.pictures ?? [], 0);
    if (this.#begun === undefined) {
      this.#begun = performance.now();
      const promptTokens = this.request.prompt.length;
      const cache = this.#figures();
      this.#listener.event({ type: "started", promptTokens, cachedTokens: cached, cache });
    }
    const { prompt, sampling, topLogprobs: candidates } = this.request;
    const masked = this.#matcher !== undefined;
    return { sampling: { ...sampling, seed: this.#seed }, prompt, drawn: this.#drawn, candidates, masked };
  }

  prefill({ slot, from, to, logits, snapshot }: Prefill): PrefillRun {
    return { slot, feed: this.#started, from, to, want: logits ? this.#want : "nothing", snapshot };
  }

  decode({ slot, row, token }: DecodeRow): DecodeToken {
    return { slot, row, id: token, position: row + this.#started.delta, want: this.#want };
  }

  /** The next token, as the device drew it. Errors: internal where the logits are unhealthy; the grammar's. */
  draw(outcome: Outcome): Drawn {
    if (outcome instanceof Float32Array) return this.#embedded(outcome);
    const { id, ill, ...probabilities } = outcome!;
    if (this.#grammarError !== undefined) throw this.#grammarError;
    if (ill) throw unhealthy(ill);
    this.#matcher?.accept(id);
    this.#prefilled ??= performance.now();
    this.#drawn.push(id);
    this.#listener.event({ type: "token", id, ...probabilities });
    const stop = this.#stops.has(id) || this.#matcher?.ended === true;
    return { sequence: this.id, token: id, stop };
  }

  #allowed(): Uint32Array | undefined {
    try {
      return this.#matcher!.allowed();
    } catch (error) {
      this.#grammarError = error;
      return undefined;
    }
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

function unhealthy(figures: NonNullable<Draw["ill"]>): EngineError {
  const text = Object.entries(figures).map(([name, value]) => `${name} ${value}`);
  return new EngineError("internal", `logits unhealthy: ${text.join(", ")}`, figures);
}

function noneUsed({ prompt }: GenerateRequest): Ended["usage"] {
  return { promptTokens: prompt.length, completionTokens: 0, cachedTokens: 0 };
}
