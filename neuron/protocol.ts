// What the gateway and a neuron say to each other, beside the OpenAI dialect of /v1. Schemas and their types only.
// Answers are loose objects (a newer neuron may say more than an older gateway knows); requests are strict ones.
// Memory is in MiB, times in seconds unless the name says otherwise; null means that nobody on the host knows.

import * as v from "valibot";

export const defaultPort = 13131;

/**
 * A request header in which the gateway names on whose behalf it asks, for the neuron's limits by principal: the name
 * of an API key. Absent where nobody was asked for a key; the gateway drops what clients send under this name.
 */
export const principalHeader = "x-cortex-principal";

const Count = v.pipe(v.number(), v.integer(), v.minValue(0));
const Mebibytes = v.nullable(v.number());

/**
 * Whether a device takes work: after a loss it is recovering, with its models; failed means that this was given up, and
 * that the next load tries once more.
 */
export const DeviceState = v.picklist(["ready", "recovering", "failed"]);

/** One GPU, or its software stand-in. */
export const Device = v.looseObject({
  index: Count,
  name: v.string(),
  vendor: v.string(),
  driver: v.string(),
  kind: v.picklist(["hardware", "software"]),
  backend: v.string(),
  vram_total_mb: Mebibytes,
  features: v.array(v.string()),
  state: v.exactOptional(DeviceState),
});
export type Device = v.InferOutput<typeof Device>;

/** GET /discovery: what this host is; constant while the daemon runs, but for the devices' state. */
export const Discovery = v.looseObject({
  hostname: v.string(),
  os: v.string(),
  kernel: v.string(),
  version: v.string(),
  devices: v.array(Device),
  harnesses: v.array(v.string()),
  /** Formats of files that load here, and types that floats can be quantised to. */
  formats: v.exactOptional(v.array(v.string())),
  quants: v.exactOptional(v.array(v.string())),
});
export type Discovery = v.InferOutput<typeof Discovery>;

/** Only "loaded" takes requests; a status that the reader does not know must be treated as not servable. */
export const ModelStatus = v.picklist(["loading", "loaded", "recovering", "unloading", "failed"]);
export type ModelStatus = v.InferOutput<typeof ModelStatus>;

export const LoadPhase = v.picklist([
  ...(["waiting", "downloading", "reading", "tuning", "compiling", "warming", "ready"] as const),
]);
export type LoadPhase = v.InferOutput<typeof LoadPhase>;

/** How far a load has come; while downloading, bytes are those of the files, afterwards those of the tensors. */
export const Loading = v.looseObject({
  phase: LoadPhase,
  bytes: Count,
  total_bytes: Count,
  tensors: Count,
  total_tensors: Count,
  /** Until the phase is over; null before anything can be said. */
  eta_secs: v.exactOptional(v.nullable(v.number())),
});
export type Loading = v.InferOutput<typeof Loading>;

export const DeviceHealth = v.looseObject({
  index: Count,
  name: v.string(),
  vram_total_mb: Mebibytes,
  vram_used_mb: Mebibytes,
  vram_free_mb: Mebibytes,
  state: v.exactOptional(DeviceState),
  /** Present when state is not "ready": why. */
  error: v.exactOptional(v.string()),
  /** How often the device was lost since the daemon started. */
  losses: v.exactOptional(Count),
});
export type DeviceHealth = v.InferOutput<typeof DeviceHealth>;

/** A loaded model's files ("safetensors", "gguf"), and what most of its weights are kept as (bf16, q4_k, …). */
const Form = { format: v.exactOptional(v.string()), quant: v.exactOptional(v.string()) };

/** How a loaded model's part of its devices' memory is used, as planned before it was loaded. */
export const ModelMemory = v.looseObject({
  total_bytes: Count,
  /** What there was for it; null where nobody knows. */
  budget_bytes: v.nullable(Count),
  parts: v.array(v.looseObject({ what: v.string(), bytes: Count })),
  /** Of each device, where the model is spread over several: the one that leads first. */
  devices: v.exactOptional(
    v.array(v.looseObject({ index: Count, total_bytes: Count, budget_bytes: v.nullable(Count) })),
  ),
  /** How it is spread over them, and why so; how many layers each has, where those are divided. */
  spread: v.exactOptional(
    v.looseObject({
      by: v.picklist(["tensor", "pipeline"]),
      why: v.string(),
      layers: v.exactOptional(v.array(Count)),
    }),
  ),
});
export type ModelMemory = v.InferOutput<typeof ModelMemory>;

export const ModelHealth = v.looseObject({
  id: v.string(),
  status: ModelStatus,
  ...Form,
  /** Requests that the device works on. */
  in_flight: Count,
  /** Requests that wait for their turn. */
  queue_depth: Count,
  /** Moving averages over past requests; null before the first. */
  tok_s_prefill: v.nullable(v.number()),
  tok_s_decode: v.nullable(v.number()),
  /** Absent until loaded. */
  memory: v.exactOptional(ModelMemory),
  /** Since its last request ended, or since it was loaded; 0 while one runs. */
  idle_secs: v.exactOptional(v.number()),
  /** Present while status is "loading". */
  loading: v.exactOptional(Loading),
  /** Present when status is "failed" or "recovering". */
  error: v.exactOptional(v.string()),
});
export type ModelHealth = v.InferOutput<typeof ModelHealth>;

/** Each default model is in exactly one of the four lists; "ready" once none is pending or in progress, and then for good. */
export const Activation = v.looseObject({
  state: v.picklist(["pre_warming", "ready"]),
  pending: v.array(v.string()),
  in_progress: v.nullable(v.string()),
  completed: v.array(v.string()),
  failed: v.array(v.looseObject({ model_id: v.string(), error: v.string() })),
});
export type Activation = v.InferOutput<typeof Activation>;

/** GET /health: answered at once from caches, also while the device is busy for minutes. */
export const Health = v.looseObject({
  status: v.picklist(["ok", "shutting_down"]),
  uptime_secs: v.number(),
  devices: v.array(DeviceHealth),
  activation: Activation,
  models: v.array(ModelHealth),
});
export type Health = v.InferOutput<typeof Health>;

export const Modalities = v.looseObject({ input: v.array(v.string()), output: v.array(v.string()) });
export type Modalities = v.InferOutput<typeof Modalities>;

/** A model's capabilities in the words by which agents choose models. */
export function modalitiesOf(capabilities: readonly string[]): Modalities {
  return {
    input: capabilities.includes("vision") ? ["text", "image"] : ["text"],
    output: capabilities.includes("embeddings") ? ["embedding"] : ["text"],
  };
}

/** An element of GET /models: every model that is loaded, being loaded or unloaded, or that failed to load. */
export const ModelEntry = v.looseObject({
  id: v.string(),
  harness: v.string(),
  status: ModelStatus,
  ...Form,
  devices: v.array(Count),
  /** Weights, cache and scratch; null until loaded. */
  vram_used_mb: Mebibytes,
  /** "text", "vision"; empty until loaded. */
  capabilities: v.array(v.string()),
  /** What it takes and gives: "text", "image". */
  modalities: v.exactOptional(Modalities),
  /** Tokens: what prompt and answer hold together, and what an answer should plan with. Null until loaded. */
  limit: v.nullable(v.looseObject({ context: Count, output: Count })),
  tool_call: v.boolean(),
  reasoning: v.boolean(),
  /** As in /health. */
  loading: v.exactOptional(Loading),
  error: v.exactOptional(v.string()),
});
export type ModelEntry = v.InferOutput<typeof ModelEntry>;

export const ModelList = v.array(ModelEntry);
export type ModelList = v.InferOutput<typeof ModelList>;

/**
 * POST /models/load: answers when the model is loaded (200 LoadResponse) or cannot be (ErrorEnvelope). Callers who ask
 * for one id at the same time share one load. Null stands for "not said".
 */
export const LoadRequest = v.strictObject({
  model_id: v.pipe(v.string(), v.nonEmpty()),
  /** Where to find it, when the id does not say: a folder, a .gguf file, `org/name[@revision][:quant]`, or `demo`. */
  source: v.nullish(v.pipe(v.string(), v.nonEmpty())),
  /** Tokens of prompt and answer together. */
  context_length: v.nullish(v.pipe(v.number(), v.integer(), v.minValue(1))),
  /** Only "webgpu" exists. */
  harness: v.nullish(v.string()),
  /** Indices of the devices over which it is spread, of those that the neuron has; the first leads. */
  devices: v.nullish(v.array(Count)),
  /** A block type that floats are quantised to (q4_k), or which of several GGUF files (Q4_K_M). */
  quant: v.nullish(v.pipe(v.string(), v.nonEmpty())),
  /** Over how many devices, with a part of every layer on each. */
  tensor_parallel: v.nullish(v.pipe(v.number(), v.integer(), v.minValue(1))),
  /** Over how many devices, with some of the layers on each. With neither, the quicker of both by what is measured. */
  pipeline_parallel: v.nullish(v.pipe(v.number(), v.integer(), v.minValue(1))),
  /** How much of it each device gets, in proportion to the others. */
  weights: v.nullish(v.array(v.pipe(v.number(), v.gtValue(0)))),
});
export type LoadRequest = v.InferOutput<typeof LoadRequest>;

/** `model_id` is the name to use in requests: for a folder given as id, the folder's own name. */
export const LoadResponse = v.looseObject({ status: v.literal("loaded"), model_id: v.string() });
export type LoadResponse = v.InferOutput<typeof LoadResponse>;

/**
 * POST /models/unload: 404 model_not_found, 409 model_busy while requests run. `wait_s`: they may go on that long first,
 * and new ones are refused; `force` ends those that still run.
 */
export const UnloadRequest = v.strictObject({
  model_id: v.pipe(v.string(), v.nonEmpty()),
  force: v.nullish(v.boolean()),
  wait_s: v.nullish(v.pipe(v.number(), v.minValue(0), v.maxValue(3600))),
});
export type UnloadRequest = v.InferOutput<typeof UnloadRequest>;

export const UnloadResponse = v.looseObject({ status: v.literal("unloaded"), model_id: v.string() });
export type UnloadResponse = v.InferOutput<typeof UnloadResponse>;

/**
 * POST /restart: the device is opened anew and its models are read again, so that their memory lies in one piece. Answers
 * when they are back; 409 model_busy while requests run or a load does, unless `force` ends the requests.
 */
export const RestartRequest = v.strictObject({ force: v.nullish(v.boolean()) });
export type RestartRequest = v.InferOutput<typeof RestartRequest>;

export const RestartResponse = v.looseObject({ status: v.literal("restarted") });
export type RestartResponse = v.InferOutput<typeof RestartResponse>;

/** GET /models/{id}/endpoint, for a loaded model (else 404, or 503 while it loads): the origin under which /v1/… answers, as the caller sees it. */
export const Endpoint = v.looseObject({ url: v.string() });
export type Endpoint = v.InferOutput<typeof Endpoint>;

export const Version = v.looseObject({
  name: v.string(),
  version: v.string(),
  node: v.string(),
  platform: v.string(),
  webgpu: v.string(),
});
export type Version = v.InferOutput<typeof Version>;

/** Every error answer, and the data of an error event inside a stream (which then ends without finish_reason and [DONE]). */
export const ErrorEnvelope = v.looseObject({
  error: v.looseObject({
    message: v.string(),
    type: v.string(),
    code: v.nullable(v.string()),
    param: v.nullable(v.string()),
  }),
});
export type ErrorEnvelope = v.InferOutput<typeof ErrorEnvelope>;

// Extensions to OpenAI's shapes on /v1/chat/completions and /v1/completions:
//   - `timings` beside `choices`, in the chunk that carries finish_reason and in a whole answer
//   - `stop_reason` in a choice that a stop string ended: that string
//   - usage comes in a stream only when asked for by stream_options.include_usage, as OpenAI does it
//   - stream_options.prompt_usage asks for a chunk with usage before the first delta: the prompt's tokens, none completed
//   - while nothing flows, a stream repeats a chunk with an empty delta at least every ten seconds

export const Timings = v.looseObject({ prefill_ms: v.number(), decode_ms: v.number() });
export type Timings = v.InferOutput<typeof Timings>;

export const Usage = v.looseObject({
  prompt_tokens: Count,
  completion_tokens: Count,
  total_tokens: Count,
  prompt_tokens_details: v.exactOptional(v.looseObject({ cached_tokens: Count })),
  completion_tokens_details: v.exactOptional(v.looseObject({ reasoning_tokens: Count })),
});
export type Usage = v.InferOutput<typeof Usage>;

/** POST /v1/chat/completions/input_tokens, with the body of a chat completion: how long its prompt would be. */
export const InputTokens = v.looseObject({ input_tokens: Count });
export type InputTokens = v.InferOutput<typeof InputTokens>;
