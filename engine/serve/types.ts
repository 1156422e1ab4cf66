// What a caller of the engine says and hears. Plain data only: all of it can cross a thread.
import type { DeviceReport } from "../gpu/report.ts";
import type { NamedGrammar } from "../grammar/grammar.ts";
import type { ImageSettings } from "../image/settings.ts";
import type { ModelSpread } from "../parallel/choice.ts";

export type { DeviceReport, ImageSettings, ModelSpread };

/** How the next token is chosen; every field has its neutral value, so none is optional. */
export interface Sampling {
  /** 0 is greedy. */
  temperature: number;
  /** 0 keeps all. */
  topK: number;
  /** 1 keeps all. */
  topP: number;
  /** 0 keeps all; else tokens below minP × the largest probability are dropped. */
  minP: number;
  /** Same seed, same text; undefined draws one. */
  seed: number | undefined;
  /** 1 is off; over prompt and generated tokens. */
  repetitionPenalty: number;
  /** 0 is off; over generated tokens. */
  presencePenalty: number;
  /** 0 is off; per occurrence, over generated tokens. */
  frequencyPenalty: number;
  /** Added to the logits, by token id. */
  logitBias: Readonly<Record<number, number>>;
}

/** One sequence to continue, in token ids. */
export interface GenerateRequest {
  prompt: readonly number[];
  maxTokens: number;
  sampling: Sampling;
  /** Generation ends when one of these is drawn. */
  stopTokens: readonly number[];
  /** undefined: none; n: the drawn token's log-probability and those of the n likeliest. */
  topLogprobs: number | undefined;
  /** In the order of their tokens. */
  images: readonly RequestImage[];
  /** Others of the same number have the same prompt: it is computed once for them, with or without a prefix cache. */
  family?: number;
  /** Not an answer, but what the model makes of the prompt: one event with it. */
  embed?: boolean;
  /** What the answer is held to, token by token. Log-probabilities are those without it. */
  grammar?: NamedGrammar;
}

/** A picture of a prompt, resized as the tower wants it. */
export interface RequestImage {
  /** [height, width, 3] */
  rgb: Uint8Array;
  height: number;
  width: number;
  /** Patches: frames (1), rows, columns. */
  grid: readonly [1, number, number];
  /** Of size and pixels: what embeddings are kept by. */
  hash: string;
  /** The first of its tokens in the prompt. */
  at: number;
}

export interface Candidate {
  id: number;
  logprob: number;
}

export type FinishReason = "stop" | "length" | "tool_calls";

export type GenerateEvent =
  | { type: "started"; promptTokens: number; cachedTokens: number; cache: CacheFigures }
  | { type: "token"; id: number; logprob?: number; top?: Candidate[] }
  /** Of the last token, behind the last norm: [H]. */
  | { type: "embedding"; vector: Float32Array }
  | { type: "finished"; reason: "stop" | "length" | "cancelled"; usage: Usage; cache: CacheFigures };

export interface Usage {
  promptTokens: number;
  completionTokens: number;
  reasoningTokens: number;
  /** Of the prompt: what the prefix cache had. */
  cachedTokens: number;
  /** Without the pictures' encodeMs. */
  prefillMs: number;
  decodeMs: number;
  /** Of the prompt's pictures; absent where it has none. */
  images?: ImageUsage;
}

export interface ImageUsage {
  count: number;
  /** Part of promptTokens. */
  tokens: number;
  /** Pictures whose embeddings were at hand, so that the tower did not run. */
  cached: number;
  encodeMs: number;
}

/** What a request may set; an absent field falls back to generation_config.json, then to our default. */
export interface GenerationOptions {
  temperature?: number;
  topK?: number;
  topP?: number;
  minP?: number;
  seed?: number;
  repetitionPenalty?: number;
  presencePenalty?: number;
  frequencyPenalty?: number;
  logitBias?: Readonly<Record<number, number>>;
  maxTokens?: number;
  /** Text that ends the answer; not part of it. */
  stop?: readonly string[];
  topLogprobs?: number;
  /** All answers to one prompt, each asked for by a call of its own, have the same number here, and nobody else has it. */
  family?: number;
}

/** A message in the form the chat templates read: OpenAI's, tool arguments as an object or as a JSON string. */
export interface ChatMessage {
  role: string;
  content?: string | readonly ContentPart[] | null;
  reasoning_content?: string | null;
  name?: string;
  tool_calls?: readonly ToolCallMessage[];
  tool_call_id?: string;
}

export type ContentPart = { type: "text"; text: string } | { type: "image_url"; image_url: { url: string } };

export interface ToolCallMessage {
  id?: string;
  type?: "function";
  function: { name: string; arguments: string | Record<string, unknown> };
}

export interface Tool {
  type: "function";
  function: {
    name: string;
    description?: string;
    parameters?: Record<string, unknown>;
    /** Arguments are held to the parameters' schema, or the request is refused. */
    strict?: boolean;
  };
}

/** What the answer's text must be; an answer that ends at maxTokens or at a stop text may be only the start of it. */
export type ResponseFormat =
  | { type: "json_object" }
  /** strict: a schema that cannot be enforced in full is refused; else what cannot be enforced is left to the model. */
  | { type: "json_schema"; schema: unknown; strict: boolean };

/** auto: text or calls; required: at least one call; or a call of the named tool. */
export type ToolChoice = "auto" | "required" | { name: string };

export interface ChatRequest {
  messages: readonly ChatMessage[];
  tools?: readonly Tool[];
  /** Default: auto. */
  toolChoice?: ToolChoice;
  /** False: one call at most. */
  parallelToolCalls?: boolean;
  /** With tools and toolChoice auto: this, or calls. */
  format?: ResponseFormat;
  /** The last message is the assistant's and unfinished: the answer is what follows its text. */
  continueFinal?: boolean;
  /** False: the prompt ends behind the last message, not where the assistant speaks. Default true. */
  addGenerationPrompt?: boolean;
  /** Passed to the chat template, e.g. enable_thinking. */
  templateArguments?: Readonly<Record<string, unknown>>;
  /** On whose behalf: limits are counted by it. Those whom nobody names are one. */
  principal?: string;
  options: GenerationOptions;
}

export interface CompletionRequest {
  /** Text, or token ids as they are. */
  prompt: string | readonly number[];
  /** As of a chat. */
  principal?: string;
  options: GenerationOptions;
}

/** Texts, or token ids as they are, to embed. */
export interface EmbeddingRequest {
  inputs: readonly (string | readonly number[])[];
  /** Only the first so many, of unit length again; default: all. */
  dimensions?: number;
  /** As of a chat. */
  principal?: string;
}

export interface Embeddings {
  /** One an input, of unit length. */
  vectors: Float32Array[];
  promptTokens: number;
}

/** A token as `logprobs` reports it. `text` may be a fragment of a character; `bytes` never lie. */
export interface TokenLogprob {
  id: number;
  text: string;
  bytes: number[];
  logprob: number;
  top: { id: number; text: string; bytes: number[]; logprob: number }[];
}

/** An answer as it grows. Tool calls: `tool_call` opens one, `tool_arguments` carries pieces of its JSON. */
export type TextEvent =
  | { type: "started"; promptTokens: number }
  | { type: "reasoning"; text: string; logprobs: TokenLogprob[] }
  | { type: "content"; text: string; logprobs: TokenLogprob[] }
  | { type: "tool_call"; index: number; id: string; name: string }
  | { type: "tool_arguments"; index: number; json: string }
  | { type: "finished"; reason: FinishReason; stopSequence: string | undefined; usage: Usage };

/** What a loaded model is; everything a status route needs without asking the device. */
export interface ModelInfo {
  modelType: string;
  /** What its files are: "safetensors" or "gguf". */
  format: string;
  /** What most of its weights are kept as on the device: bf16, q4_k, … */
  quant: string;
  contextLength: number;
  /** Sequences that run at once; further requests wait. */
  maxInFlight: number;
  vocabSize: number;
  /** H of an embedding checkpoint, which makes no text; else undefined. */
  embeddingWidth: number | undefined;
  /** Distinct parameters, as stored. */
  parameters: number;
  weightBytes: number;
  cacheBytes: number;
  scratchBytes: number;
  dispatchesPerToken: number;
  /** Indices of the devices that it is on, the one that leads first; one may stand there twice. */
  devices: readonly number[];
  spread: ModelSpread | undefined; // undefined: it is on one
  /** Where the memory of each went. */
  plans: readonly MemoryPlan[];
  /** "text", and "vision" where the checkpoint has a tower; or "embeddings" alone. */
  capabilities: readonly string[];
  /** How pictures are taken; undefined for a text model. */
  vision: VisionInfo | undefined;
  /** True when the chat template knows tools. */
  toolCalls: boolean;
  /** True when the chat template can open a reasoning block. */
  reasoning: boolean;
}

/** Bytes that may be used, and where the figure is from. */
export interface MemoryBudget {
  bytes: number;
  source: string;
}

export interface MemoryPart {
  what: string;
  bytes: number;
  detail: string;
}

export interface MemoryPlan {
  model: string;
  contextLength: number;
  slots: number;
  pages: number;
  /** Width of a slot's row in the page table. */
  pagesPerSequence: number;
  /** Slots for saved states. */
  snapshots: number;
  parts: MemoryPart[];
  totalBytes: number;
  budget: MemoryBudget | undefined;
}

/** What of a vision tower the preparation of pictures and prompts must know. */
export interface VisionInfo {
  settings: ImageSettings;
  /** Patches on each side of a token. */
  merge: number;
  /** The token that stands for a piece of a picture. */
  imageToken: number;
  /** Pixels of the largest picture whose activations the device can bind. */
  mostPixels: number;
}

export interface LoadOptions {
  /** Tokens of prompt and answer together that the cache holds; default: what the checkpoint allows, at most 8192. */
  contextLength?: number;
  /** Sequences that run at once, each with memory for a whole context; default 8, on a software adapter 4, or what fits. */
  maxInFlight?: number;
  /** Keep what was computed of a prompt for others that begin alike; default: true. */
  prefixCache?: boolean;
  /** How keys and values are kept: as they were computed, or in half or a quarter of that memory. Default: f32. */
  kvCache?: "f32" | "f16" | "q8_0";
  /** Where in a prompt a state is worth saving: behind the last of these. Default: the tokenizer's special tokens. */
  specialTokens?: readonly number[];
  /** MiB of the device's memory that all its models together may use; default: what the operating system says is free. */
  memoryLimitMb?: number;
  /** Bytes of picture embeddings kept on the device; default 128 MiB. */
  imageCacheBytes?: number;
  /**
   * Which of a folder's GGUF files (by the label in its name), or what block type the matrices of a checkpoint in
   * floats are quantised to: q4_0, q4_1, q5_0, q5_1, q8_0, q2_k … q6_k. Default: as they are.
   */
  quant?: string;
  /** Indices of the devices over which it is spread, the one that leads first. Default: `tensorParallel` of them. */
  devices?: readonly number[];
  /** Over how many devices, with a part of every layer on each; default: as many as `devices`, else what EngineOptions says. */
  tensorParallel?: number;
  /** Over how many devices, with some of the layers on each. With neither, whatever is quicker by what was measured. */
  pipelineParallel?: number;
  /** How much each device gets, in proportion to the others; default: what EngineOptions says, else all the same. */
  weights?: readonly number[];
}

export interface LoadProgress {
  /** warming: every kernel runs once, on all devices together; drivers that compile late do it then. */
  phase: "reading" | "tuning" | "compiling" | "warming" | "ready";
  bytes: number;
  totalBytes: number;
  tensors: number;
  totalTensors: number;
}

/**
 * ready: takes work. recovering: the device was lost and is being opened again, then its models are read again.
 * failed: that was given up; a load tries once more.
 */
export type DeviceState = "ready" | "recovering" | "failed";

export interface DeviceHealth {
  state: DeviceState;
  /** Why it is not ready. */
  reason: string | undefined;
  /** How often the device was lost since the engine was opened. */
  losses: number;
}

/** One or several GPUs (or their software stand-ins), each with the worker thread that owns it. */
export interface Engine {
  /** The first. */
  readonly device: DeviceReport;
  /** One that was asked for twice stands here twice. */
  readonly devices: readonly DeviceReport[];
  readonly health: DeviceHealth;
  /** Hears every change of health, and of a model's state. */
  onChange: (health: DeviceHealth) => void;
  /** Raising the signal gives the load up. */
  load(
    folder: string,
    options: LoadOptions,
    onProgress?: (p: LoadProgress) => void,
    signal?: AbortSignal,
  ): Promise<Model>;
  /** Resolves when it is ready or has failed: at once unless it is recovering. */
  settled(): Promise<void>;
  /**
   * Opens the device anew and reads its models again, so that their memory lies in one piece; what runs is cut off.
   * Errors: device_lost.
   */
  restart(): Promise<void>;
  /** Ends every model and the worker thread. Idempotent. */
  close(): Promise<void>;
}

/** Where the time of a model's sums over devices went on the one that leads, since it was loaded; ms. */
export interface SumFigures {
  sums: number;
  computingMs: number;
  readbackMs: number;
  waitingMs: number;
  reducingMs: number;
}

/** What a model's KV cache holds and what its prefix cache saved, since it was loaded. */
export interface CacheFigures {
  /** Of the KV cache: used by sequences, idle (kept for prompts to come), free. */
  pages: { used: number; idle: number; free: number };
  /** Sequences that had to give up their pages and begin again. */
  preemptions: number;
  /** Sequences that began, and those of them that reused something. */
  lookups: number;
  hits: number;
  /** Their tokens. */
  lookedUpTokens: number;
  reusedTokens: number;
  /** Saved states of delta-net layers. */
  snapshots: number;
  /** Bytes of the pages and states that the prefix cache keeps. */
  bytes: number;
  /** Where the model is spread over several devices. */
  sums?: SumFigures;
}

/** A model on the device. Up to `maxInFlight` requests run at once, the others wait in the order they came. */
export interface Model {
  readonly info: ModelInfo;
  /** Only "ready" takes requests; others get device_lost with `retryAfter`, s, where waiting helps. */
  readonly state: DeviceState;
  /** Why it is not ready. */
  readonly reason: string | undefined;
  /** Requests running and waiting. */
  readonly load: { running: number; waiting: number };
  /** As of the last request that began or ended; undefined before the first. */
  readonly cache: CacheFigures | undefined;
  /** Throws an EngineError (bad_request, context_length_exceeded, template_failed, …) before the first event. */
  chat(request: ChatRequest, signal: AbortSignal): AsyncIterable<TextEvent>;
  complete(request: CompletionRequest, signal: AbortSignal): AsyncIterable<TextEvent>;
  /** Errors: as of a chat; bad_request for a model that makes text. */
  embed(request: EmbeddingRequest, signal: AbortSignal): Promise<Embeddings>;
  /** How many tokens the rendered prompt has, those of its pictures among them. */
  countTokens(request: ChatRequest): Promise<number>;
  /** Frees the device memory; refuses with model_busy while requests run, unless `force` cancels them. */
  unload(options?: { force?: boolean }): Promise<void>;
}
