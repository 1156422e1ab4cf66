// A loaded model as the rest of the process sees it: requests in text, answers in text, the device behind a queue.
import { EngineError } from "../errors.ts";
import { vocabularyOf } from "../grammar/vocabulary.ts";
import { ImagePreparer, type ImageLimits } from "../image/index.ts";
import { createTextStream, type TextPiece, type TextStream } from "../text/stream.ts";
import { Admission, type AdmissionLimits, type Seat } from "./admission.ts";
import { preparePictures } from "./pictures.ts";
import type { Resident } from "./resident.ts";
import { resolveMaxTokens, resolveSampling } from "./sampling.ts";
import { renderChat, type ModelText, type Prompt } from "./text.ts";
import { checkEmbedding, sideBySide, unit } from "./embedding.ts";
import type {
  CacheFigures,
  ChatRequest,
  CompletionRequest,
  DeviceState,
  EmbeddingRequest,
  Embeddings,
  GenerateEvent,
  GenerateRequest,
  GenerationOptions,
  Model,
  ModelInfo,
  TextEvent,
  Usage,
} from "./types.ts";

export interface ModelOptions extends Omit<AdmissionLimits, "slots"> {
  images: ImageLimits;
}

export class LoadedModel implements Model {
  readonly info: ModelInfo;
  readonly #resident: Resident;
  readonly #text: ModelText;
  readonly #admission: Admission;
  readonly #preparer: ImagePreparer | undefined;
  readonly #running = new Set<AbortController>();
  #cache: CacheFigures | undefined;
  readonly #onUnload: () => void;
  #unloaded = false;
  #taught = false;

  /** `onUnload`: it shall not be loaded again. */
  constructor(
    resident: Resident,
    text: ModelText,
    { images, ...limits }: ModelOptions,
    onUnload: () => void = () => undefined,
  ) {
    const { info } = resident;
    this.#resident = resident;
    this.#onUnload = onUnload;
    this.#text = text;
    this.#admission = new Admission({ ...limits, slots: info.maxInFlight });
    const vision = text.template.knowsImages ? info.vision : undefined;
    const budget = Math.min(images.budget ?? Infinity, vision?.mostPixels ?? Infinity);
    this.#preparer = vision && new ImagePreparer(vision.settings, { ...images, budget });
    this.info = {
      ...info,
      devices: resident.devices,
      vision,
      capabilities: info.embeddingWidth ? ["embeddings"] : vision ? ["text", "vision"] : ["text"],
      toolCalls: text.template.knowsTools && !info.embeddingWidth,
      reasoning: text.template.knowsReasoning && !info.embeddingWidth,
    };
  }

  get cache(): CacheFigures | undefined {
    return this.#cache;
  }

  get state(): DeviceState {
    return this.#resident.state;
  }

  get reason(): string | undefined {
    return this.#resident.reason;
  }

  get load(): { running: number; waiting: number } {
    const { running, waiting } = this.#admission.load;
    return { running, waiting };
  }

  /** Principals of whom requests are here. */
  get principals(): number {
    return this.#admission.principals;
  }

  async *chat(request: ChatRequest, signal: AbortSignal): AsyncGenerator<TextEvent> {
    this.#expectText();
    this.#resident.expectReady();
    this.#admission.check(request.principal); // preparing pictures is work: not for a request that will be turned away
    const prompt = await this.#prompt(request, signal);
    yield* this.#answer(prompt, request, signal, (logprobs) =>
      createTextStream({
        tokenizer: this.#text.tokenizer,
        stop: request.options.stop ?? [],
        reasoning: prompt.reasoning,
        tools: request.tools,
        logprobs,
        continues: request.continueFinal ?? false,
      }),
    );
  }

  async *complete(request: CompletionRequest, signal: AbortSignal): AsyncGenerator<TextEvent> {
    const { tokenizer } = this.#text;
    this.#expectText();
    const ids = this.#encoded(request.prompt, "prompt");
    const prompt = { ids, images: [], reasoning: undefined, grammar: undefined };
    yield* this.#answer(prompt, request, signal, (logprobs) =>
      createTextStream({
        tokenizer,
        stop: request.options.stop ?? [],
        reasoning: undefined,
        tools: undefined,
        logprobs,
        continues: true,
      }),
    );
  }

  async embed(request: EmbeddingRequest, signal: AbortSignal): Promise<Embeddings> {
    checkEmbedding(request, this.info);
    const prompts = request.inputs.map((input, i) => this.#encoded(input, `input[${i}]`));
    const promptTokens = prompts.reduce((sum, { length }) => sum + length, 0);
    const { seat, own, leave } = this.#enter(promptTokens, request.principal);
    try {
      const ended = AbortSignal.any([signal, own.signal]);
      const one = (prompt: number[]) => this.#embedOne(prompt, seat, ended);
      const vectors = await sideBySide(prompts, this.info.maxInFlight, one);
      return { vectors: vectors.map((vector) => unit(vector, request.dimensions)), promptTokens };
    } finally {
      leave();
    }
  }

  async countTokens(request: ChatRequest): Promise<number> {
    return (await this.#prompt(request)).ids.length;
  }

  async unload(options: { force?: boolean } = {}): Promise<void> {
    const { running, waiting } = this.#admission.load;
    if (running + waiting > 0 && !options.force) {
      throw new EngineError("model_busy", `the model has ${running} running and ${waiting} waiting requests`);
    }
    this.#unloaded = true;
    for (const controller of this.#running) controller.abort();
    this.#onUnload();
    await this.#resident.unload();
  }

  async #prompt(request: ChatRequest, signal?: AbortSignal): Promise<Prompt> {
    const pictures = await preparePictures(this.#preparer, request, signal);
    const { vision } = this.info;
    return renderChat(this.#text, request, vision && { imageToken: vision.imageToken, pictures });
  }

  #expectText(): void {
    if (this.info.embeddingWidth === undefined) return;
    const text = "this model makes embeddings, not text; ask it at /v1/embeddings";
    throw new EngineError("bad_request", text, { param: "model" });
  }

  /** Token ids of a text, or those given. Errors: bad_request with the `name` of the parameter. */
  #encoded(input: string | readonly number[], name: string): number[] {
    const ids =
      typeof input === "string" ? this.#text.tokenizer.encode(input, { special: true }) : [...input];
    if (ids.length === 0)
      throw new EngineError("bad_request", `${name}: is empty: there is no token to continue`);
    const wrong = ids.findIndex((id) => !Number.isInteger(id) || id < 0 || id >= this.info.vocabSize);
    if (wrong < 0) return ids;
    const known = `the model knows token ids from 0 to ${this.info.vocabSize - 1}`;
    throw new EngineError("bad_request", `${name}[${wrong}]: ${ids[wrong]} is no token id; ${known}`);
  }

  /** A place, and the signal that a forced unload raises; `leave` gives both back. */
  #enter(
    tokens: number,
    principal: string | undefined,
  ): { seat: Seat; own: AbortController; leave: () => void } {
    if (this.#unloaded) throw new EngineError("model_not_found", "the model was unloaded");
    this.#resident.expectReady();
    const seat = this.#admission.enter(tokens, principal);
    const own = new AbortController();
    this.#running.add(own);
    const leave = () => {
      seat.leave();
      this.#running.delete(own);
    };
    return { seat, own, leave };
  }

  async #embedOne(prompt: number[], seat: Seat, signal: AbortSignal): Promise<Float32Array> {
    const room = { contextLength: this.info.contextLength, promptTokens: prompt.length };
    const request: GenerateRequest = {
      ...{ prompt, images: [], embed: true, stopTokens: [], topLogprobs: undefined },
      maxTokens: resolveMaxTokens({ maxTokens: 1 }, {}, room),
      sampling: resolveSampling({ temperature: 0 }, {}),
    };
    for await (const event of this.#resident.generate(request, signal)) {
      if (event.type === "started") seat.started();
      else if (event.type === "embedding") return event.vector;
    }
    throw new EngineError("cancelled", "the request was cancelled");
  }

  async *#answer(
    prompt: Prompt,
    { options, principal }: Pick<ChatRequest, "options" | "principal">,
    signal: AbortSignal,
    open: (logprobs: boolean) => TextStream,
  ): AsyncGenerator<TextEvent> {
    const request = this.#request(prompt, options);
    if (request.grammar) this.#teach();
    const { seat, own, leave } = this.#enter(prompt.ids.length, principal);
    const events = this.#resident.generate(request, AbortSignal.any([signal, own.signal]));
    const first = events.next(); // asks the device now, in the order in which requests came
    first.catch(() => undefined); // awaited below, after the caller has seen `started`
    try {
      yield { type: "started", promptTokens: prompt.ids.length };
      yield* this.#read(first, events, seat, open(request.topLogprobs !== undefined));
    } finally {
      own.abort();
      await events.return(undefined); // once the device is done with it
      leave();
    }
  }

  async *#read(
    first: Promise<IteratorResult<GenerateEvent, void>>,
    events: AsyncGenerator<GenerateEvent, void>,
    seat: Seat,
    text: TextStream,
  ): AsyncGenerator<TextEvent> {
    let meter = new Meter();
    for (let next = await first; !next.done; next = await events.next()) {
      const event = next.value;
      if ("cache" in event) this.#cache = event.cache;
      if (event.type === "started") {
        seat.started();
        meter = new Meter(event);
        continue;
      }
      if (event.type === "token") {
        meter.token();
        yield* unfinished(text.push(event));
        if (!text.stopped) continue;
        // A stop string was found; leaving the loop ends the generation on the device.
        yield* finish(text, "stop", meter.usage(text));
        return;
      }
      if (event.type === "embedding") throw new Error("an embedding in an answer");
      if (event.reason === "cancelled") throw new EngineError("cancelled", "the request was cancelled");
      yield* finish(text, event.reason, { ...event.usage, reasoningTokens: text.reasoningTokens });
    }
  }

  #request({ ids, images, grammar }: Prompt, options: GenerationOptions): GenerateRequest {
    const { tokenizer, generationConfig } = this.#text;
    const room = { contextLength: this.info.contextLength, promptTokens: ids.length };
    return {
      prompt: ids,
      images,
      maxTokens: resolveMaxTokens(options, generationConfig, room),
      sampling: resolveSampling(options, generationConfig),
      stopTokens: tokenizer.eosIds,
      topLogprobs: options.topLogprobs,
      ...(grammar && { grammar }),
      ...(options.family !== undefined && { family: options.family }),
    };
  }

  /** The device needs the tokens' bytes for grammars, and for nothing else. */
  #teach(): void {
    if (this.#taught) return;
    this.#taught = true;
    this.#resident.teach(vocabularyOf(this.#text.tokenizer));
  }
}

function* unfinished(pieces: readonly TextPiece[]): Generator<TextEvent> {
  for (const piece of pieces) if (piece.type !== "finished") yield piece;
}

function* finish(text: TextStream, reason: "stop" | "length", usage: Usage): Generator<TextEvent> {
  for (const piece of text.finish(reason)) yield piece.type === "finished" ? { ...piece, usage } : piece;
}

/** Usage of an answer which ends here and not on the device. */
class Meter {
  readonly #prompt: { promptTokens: number; cachedTokens: number };
  readonly #begun = performance.now();
  #first: number | undefined;
  #tokens = 0;

  constructor({ promptTokens, cachedTokens } = { promptTokens: 0, cachedTokens: 0 }) {
    this.#prompt = { promptTokens, cachedTokens };
  }

  token(): void {
    this.#first ??= performance.now();
    this.#tokens += 1;
  }

  usage(text: TextStream): Usage {
    const first = this.#first ?? performance.now();
    return {
      ...this.#prompt,
      completionTokens: this.#tokens,
      reasoningTokens: text.reasoningTokens,
      prefillMs: first - this.#begun,
      decodeMs: performance.now() - first,
    };
  }
}
