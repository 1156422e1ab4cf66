// neuron.toml. The defaults are written here and nowhere else; how it is read is in kit/settings.ts.

import * as v from "valibot";
import { EngineError } from "../engine/errors.ts";
import { ConfigError, Count, Name, readSettings, Seconds } from "../kit/settings.ts";
import type { Sources } from "../kit/settings.ts";
import { levels } from "./log.ts";
import { defaultPort } from "./protocol.ts";

const ContextLength = v.pipe(v.number(), v.integer(), v.minValue(1));

const Weights = v.pipe(v.array(v.pipe(v.number(), v.gtValue(0))), v.minLength(1));

export const Config = v.strictObject({
  /** The address to listen on; 0.0.0.0 for every network of the host. */
  host: v.optional(Name, "127.0.0.1"),
  /** 0 takes any free one. */
  port: v.optional(v.pipe(Count, v.maxValue(65_535)), defaultPort),
  /** Index in the list of `neuron devices`, or several; one named twice is two logical devices. Default: the best one. */
  device: v.exactOptional(v.union([Count, v.pipe(v.array(Count), v.minLength(1), v.maxLength(64))])),
  /**
   * Over how many of several devices a model is spread that says nothing else, with a part of every layer on each;
   * default: over all, by the way that is quicker.
   */
  tensor_parallel: v.exactOptional(v.pipe(Count, v.minValue(1))),
  /** The same with some of the layers on each. */
  pipeline_parallel: v.exactOptional(v.pipe(Count, v.minValue(1))),
  /** How much of a model each of the devices gets, in proportion to the others; default: all the same. */
  weights: v.exactOptional(Weights),
  /** As what devices exchange partial sums: exactly, or rounded to half the bytes. */
  sum_format: v.optional(v.picklist(["f32", "bf16"]), "f32"),
  /** Part of the adapter's name, or "lavapipe", "swiftshader". */
  adapter: v.exactOptional(Name),
  /** Tokens of prompt and answer together, for every model that says nothing else; default: the engine's choice. */
  context_length: v.exactOptional(ContextLength),
  /**
   * The form of the weights, for every model that says nothing else: a block type that floats are quantised to (q4_k),
   * or the label of one of several GGUF files (Q4_K_M); default: as they are.
   */
  quant: v.exactOptional(Name),
  /** Requests that run at once in one model, each with memory for a whole context; default: what the engine finds fit. */
  max_in_flight: v.exactOptional(v.pipe(Count, v.minValue(1), v.maxValue(64))),
  /** Requests that may wait for one model beside those; more get queue_full. */
  max_queue: v.optional(Count, 64),
  /** Keep what was computed of a prompt for prompts to come that begin alike. */
  prefix_cache: v.optional(v.boolean(), true),
  /** How attention's keys and values are kept: exactly, or in half or about a quarter of the memory. */
  kv_cache: v.optional(v.picklist(["f32", "f16", "q8_0"]), "f32"),
  /**
   * Measure which kernels suit the device, once for each shape of a model, and keep it in the user's cache; default: on
   * hardware. False: go by what ships with the program.
   */
  autotune: v.exactOptional(v.boolean()),
  /**
   * Have every index of a shader held to its array, and divisions guarded; default: on software adapters alone. True is
   * slower on a card, and tells a mistake of ours from one of its driver where a device is lost or answers wrongly.
   */
  shader_checks: v.exactOptional(v.boolean()),
  /**
   * The same tokens for the same request on every run, whatever else runs: nothing that was measured or shipped decides, no
   * arithmetic in fewer bits than the weights have, no prefix cache.
   */
  strict: v.optional(v.boolean(), false),
  /** Prompt tokens that may wait for one model; a request behind fewer may wait, however long it is. */
  max_queue_tokens: v.optional(v.pipe(Count, v.minValue(1)), 262_144),
  /** Requests of one principal (as the gateway names it) at one model, running and waiting; default: no limit. */
  max_per_principal: v.exactOptional(v.pipe(Count, v.minValue(1))),
  /** MiB of the device's memory that all models together may use; default: what the operating system says is free. */
  memory_limit_mb: v.exactOptional(v.pipe(Count, v.minValue(1))),
  /** A step of the device that takes longer is taken for a hang; default: 120, on a software adapter 600. */
  step_limit_s: v.exactOptional(Seconds),
  /** A load that gives nothing for so long, from disk, compiler or device, is given up; default: 120, on a software adapter 600. */
  load_limit_s: v.exactOptional(Seconds),
  log_level: v.optional(v.picklist(levels), "info"),
  log_format: v.optional(v.picklist(["text", "json"]), "text"),
  http: v.optional(
    v.strictObject({
      /** MiB. */
      body_limit_mb: v.optional(v.pipe(v.number(), v.gtValue(0), v.maxValue(1024)), 32),
      /** The longest silence inside a stream. */
      keepalive_s: v.optional(v.pipe(Seconds, v.maxValue(10)), 5),
      /** How long a client may leave its stream unread. */
      stall_s: v.optional(Seconds, 30),
      /** How long running requests may go on after SIGTERM. */
      drain_s: v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(3600)), 5),
    }),
    {},
  ),
  /** What pictures may cost. A request above a limit is refused with the limit's value. */
  images: v.optional(
    v.strictObject({
      /** One encoded picture, MiB. */
      max_mb: v.optional(v.pipe(v.number(), v.gtValue(0), v.maxValue(1024)), 20),
      /** Width × height as stored, millions. */
      max_megapixels: v.optional(v.pipe(v.number(), v.gtValue(0), v.maxValue(1000)), 50),
      max_per_request: v.optional(v.pipe(Count, v.minValue(1)), 32),
      /** Most pixels that the model sees of a picture; default: what its checkpoint says. */
      budget_pixels: v.exactOptional(v.pipe(Count, v.minValue(1024))),
      /** Embeddings kept on the device for each model, MiB. */
      cache_mb: v.optional(v.pipe(v.number(), v.minValue(0)), 128),
      /** Fetch http(s) addresses from the public internet; otherwise only data: URIs are read. */
      fetch: v.optional(v.boolean(), false),
      fetch_timeout_s: v.optional(v.pipe(Seconds, v.maxValue(300)), 10),
    }),
    {},
  ),
  /** What the environment of Hugging Face's tools says, unless said here. */
  hub: v.optional(
    v.strictObject({
      endpoint: v.exactOptional(v.pipe(v.string(), v.url())),
      cache_folder: v.exactOptional(Name),
      offline: v.exactOptional(v.boolean()),
    }),
    {},
  ),
  /** Loaded at start, one after another. */
  default_models: v.optional(
    v.array(
      v.strictObject({
        model_id: Name,
        /** A folder, a .gguf file, org/name[@revision][:quant] or demo; default: what model_id says. */
        source: v.exactOptional(Name),
        context_length: v.exactOptional(ContextLength),
        quant: v.exactOptional(Name),
        /** Of this neuron's devices, those over which it is spread; the first of them leads. */
        devices: v.exactOptional(v.pipe(v.array(Count), v.minLength(1))),
        tensor_parallel: v.exactOptional(v.pipe(Count, v.minValue(1))),
        pipeline_parallel: v.exactOptional(v.pipe(Count, v.minValue(1))),
        weights: v.exactOptional(Weights),
      }),
    ),
    [],
  ),
});
export type Config = v.InferOutput<typeof Config>;

export interface LoadedConfig {
  config: Config;
  /** The file that was read. */
  file: string | undefined;
}

const layout = { schema: Config, file: "neuron.toml", prefix: "NEURON_" };

/** Throws bad_config: `neuron.toml: http.keepalive: unknown key`, one line a problem. */
export function loadConfig(sources: Sources): LoadedConfig {
  try {
    const { settings: config, file } = readSettings(layout, sources);
    return { config, file };
  } catch (error) {
    throw error instanceof ConfigError ? new EngineError("bad_config", error.message) : error;
  }
}
