// An engine without a device for the tests of the daemon: models say what their script says, one request after
// another, with the manners that the interfaces promise (errors before `started`, cancellation, queue figures).

import { EngineError } from "../engine/errors.ts";
import type {
  CacheFigures,
  ChatRequest,
  CompletionRequest,
  DeviceHealth,
  DeviceReport,
  DeviceState,
  EmbeddingRequest,
  Embeddings,
  Engine,
  FinishReason,
  LoadOptions,
  LoadProgress,
  Model,
  ModelInfo,
  TextEvent,
  TokenLogprob,
  Usage,
} from "../engine/serve/types.ts";

/** A step of an answer: an event, a pause in ms, an error to throw, or a wait until the test says go. */
export type Step = TextEvent | number | Error | Promise<unknown>;

export const usage: Usage = {
  promptTokens: 11,
  completionTokens: 7,
  reasoningTokens: 2,
  cachedTokens: 3,
  prefillMs: 5,
  decodeMs: 70,
};

export const finished = (reason: FinishReason = "stop", stopSequence?: string): TextEvent => ({
  type: "finished",
  reason,
  stopSequence,
  usage,
});

export const content = (text: string, logprobs: TokenLogprob[] = []): TextEvent => ({
  type: "content",
  text,
  logprobs,
});

export const reasoning = (text: string): TextEvent => ({ type: "reasoning", text, logprobs: [] });
export const started: TextEvent = { type: "started", promptTokens: usage.promptTokens };
export const hello: Step[] = [started, content("Hello"), content(" world"), finished()];

export function token(
  id: number,
  text: string,
  logprob: number,
  bytes = [...Buffer.from(text)],
): TokenLogprob {
  const other = { id: id + 1, text: "other", bytes: [...Buffer.from("other")], logprob: logprob - 2 };
  return { id, text, bytes, logprob, top: [{ id, text, bytes, logprob }, other] };
}

export const deviceReport: DeviceReport = {
  index: 1,
  name: "Fake GPU",
  vendor: "nobody",
  driver: "0.0",
  kind: "hardware",
  backend: "null",
  memoryTotalMb: 24_000,
  features: ["subgroups"],
  limits: {},
  wgslFeatures: [],
  subgroups: undefined,
  subgroupMatrixConfigs: [],
};

const info: ModelInfo = {
  modelType: "qwen3",
  format: "gguf",
  quant: "q4_k",
  contextLength: 4096,
  maxInFlight: 1,
  vocabSize: 1000,
  embeddingWidth: undefined,
  parameters: 5_000_000,
  weightBytes: 10 * 2 ** 20,
  cacheBytes: 4 * 2 ** 20,
  scratchBytes: 1,
  dispatchesPerToken: 40,
  devices: [1],
  spread: undefined,
  plans: [
    {
      ...{ model: "fake", contextLength: 4096, slots: 1, pages: 64, pagesPerSequence: 64, snapshots: 0 },
      parts: [
        { what: "weights", bytes: 10 * 2 ** 20, detail: "" },
        { what: "KV cache", bytes: 4 * 2 ** 20 + 1, detail: "64 pages" },
      ],
      ...{ totalBytes: 14 * 2 ** 20 + 1, budget: { bytes: 2 ** 30, source: "a test" } },
    },
  ],
  vision: undefined,
  capabilities: ["text"],
  toolCalls: true,
  reasoning: true,
};

export class FakeModel implements Model {
  readonly info: ModelInfo;
  readonly load = { running: 0, waiting: 0 };
  readonly cache: CacheFigures = {
    ...{ pages: { used: 2, idle: 30, free: 96 }, preemptions: 1, snapshots: 4, bytes: 5_000_000 },
    ...{ lookups: 8, hits: 6, lookedUpTokens: 900, reusedTokens: 640 },
  };
  state: DeviceState = "ready";
  reason: string | undefined;
  /** What the next answers say. */
  script: Step[] = hello;
  /** What was asked, newest last. */
  readonly asked: (ChatRequest | CompletionRequest)[] = [];
  readonly signals: AbortSignal[] = [];
  /** Answers that ended before their script did. */
  cut = 0;
  unloaded = false;
  #turn: Promise<unknown> = Promise.resolve();
  readonly #killed = new AbortController();

  constructor(changes: Partial<ModelInfo> = {}) {
    this.info = { ...info, ...changes };
  }

  chat(request: ChatRequest, signal: AbortSignal): AsyncIterable<TextEvent> {
    this.asked.push(request);
    return this.#answer(this.script, signal);
  }

  complete(request: CompletionRequest, signal: AbortSignal): AsyncIterable<TextEvent> {
    this.asked.push(request);
    return this.#answer(this.script, signal);
  }

  /** What the next requests for embeddings give, or how they fail. */
  embeddings: Embeddings | Error = { vectors: [Float32Array.of(0.6, 0.8)], promptTokens: 3 };
  readonly embedded: EmbeddingRequest[] = [];

  async embed(request: EmbeddingRequest): Promise<Embeddings> {
    this.embedded.push(request);
    await Promise.resolve();
    if (this.embeddings instanceof Error) throw this.embeddings;
    return this.embeddings;
  }

  async countTokens(): Promise<number> {
    return usage.promptTokens;
  }

  async unload(options: { force?: boolean } = {}): Promise<void> {
    if (this.load.running + this.load.waiting > 0 && !options.force)
      throw new EngineError("model_busy", "busy");
    this.#killed.abort();
    this.unloaded = true;
    await Promise.resolve();
  }

  async *#answer(script: Step[], outer: AbortSignal): AsyncGenerator<TextEvent> {
    this.signals.push(outer);
    const signal = AbortSignal.any([outer, this.#killed.signal]);
    if (script[0] instanceof EngineError) throw script[0];
    let done: () => void = () => undefined;
    const before = this.#turn;
    this.#turn = new Promise<void>((resolve) => (done = resolve));
    this.load.waiting++;
    let state: "waiting" | "running" = "waiting";
    let complete = false;
    try {
      await unlessAborted(before, signal);
      this.load.waiting--;
      this.load.running++;
      state = "running";
      for (const step of script) {
        if (step instanceof Error) throw step;
        if (typeof step === "number")
          await unlessAborted(new Promise((resolve) => setTimeout(resolve, step)), signal);
        else if (step instanceof Promise) await unlessAborted(step, signal);
        else {
          if (signal.aborted) throw new EngineError("cancelled", "cancelled");
          yield step;
        }
      }
      complete = true;
    } finally {
      this.load[state]--;
      if (!complete) this.cut++;
      done();
    }
  }
}

async function unlessAborted(work: Promise<unknown>, signal: AbortSignal): Promise<void> {
  const cancelled = () => new EngineError("cancelled", "cancelled");
  if (signal.aborted) throw cancelled();
  let onAbort: () => void = () => undefined;
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(cancelled());
    signal.addEventListener("abort", onAbort);
  });
  await Promise.race([work, aborted]).finally(() => signal.removeEventListener("abort", onAbort));
}

export class FakeEngine implements Engine {
  readonly device = deviceReport;
  readonly devices = [deviceReport];
  health: DeviceHealth = { state: "ready", reason: undefined, losses: 0 };
  onChange: (health: DeviceHealth) => void = () => undefined;
  /** Folders asked for, in order. */
  readonly loads: string[] = [];
  readonly options: LoadOptions[] = [];
  /** What the next loads give, after what they wait for. */
  next: FakeModel | Error = new FakeModel();
  gate: Promise<unknown> = Promise.resolve();
  /** What settles when the device is back. */
  recovery: Promise<void> = Promise.resolve();
  restarts = 0;
  closed = false;
  /** How far the last load is. */
  report: (progress: Partial<LoadProgress>) => void = () => undefined;

  async load(
    folder: string,
    options: LoadOptions,
    onProgress?: (p: LoadProgress) => void,
    signal?: AbortSignal,
  ): Promise<Model> {
    this.loads.push(folder);
    this.options.push(options);
    const report = (progress: Partial<LoadProgress>) =>
      onProgress?.({ phase: "reading", bytes: 3, totalBytes: 9, tensors: 1, totalTensors: 4, ...progress });
    this.report = report;
    report({});
    const givenUp = new Promise((resolve) => signal?.addEventListener("abort", resolve));
    await Promise.race([this.gate, givenUp]);
    signal?.throwIfAborted();
    if (this.next instanceof Error) throw this.next;
    return this.next;
  }

  settled(): Promise<void> {
    return this.recovery;
  }

  async restart(): Promise<void> {
    this.restarts++;
    await Promise.resolve();
  }

  async close(): Promise<void> {
    this.closed = true;
    await Promise.resolve();
  }
}
