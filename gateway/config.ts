// cortex.toml and models.toml: strict schemas, the defaults written here and nowhere else.
// How they are read is in kit/settings.ts.

import { existsSync } from "node:fs";
import { dirname, resolve } from "node:path";
import * as v from "valibot";
import { Secret } from "../kit/schema.ts";
import { Count, Name, readSettings, readTable, Seconds } from "../kit/settings.ts";
import type { Sources } from "../kit/settings.ts";

export { ConfigError, describe, whyNot } from "../kit/settings.ts";
export type { Sources } from "../kit/settings.ts";

const Dollars = v.pipe(v.number(), v.minValue(0));

const Address = v.pipe(
  v.string(),
  v.regex(/^(\[[0-9a-fA-F:.]+\]|[^:\s]+):\d{1,5}$/, "expected host:port"),
  v.check((text) => addressOf(text).port <= 65535, "the port is above 65535"),
);

const Endpoint = v.pipe(
  v.string(),
  v.regex(/^https?:\/\//, "expected http://host:port"),
  v.url("expected http://host:port"),
  v.transform((url) => url.replace(/\/+$/, "")),
);

const Neuron = v.pipe(
  v.strictObject({
    name: Name,
    endpoint: Endpoint,
    /** "openai": any server that answers /v1/chat/completions; it is asked, but never told to load or unload. */
    kind: v.optional(v.picklist(["neuron", "openai"]), "neuron"),
    /** What such a server wants as its bearer token. */
    api_key: v.exactOptional(Secret),
    /** Our ids of its models, where they differ from its own: id = "its own name". */
    models: v.exactOptional(v.record(Name, Name)),
  }),
  v.check(
    ({ kind, api_key, models }) => kind === "openai" || (api_key === undefined && models === undefined),
    'api_key and models are of use only with kind = "openai"',
  ),
);

export const CortexConfig = v.pipe(
  v.strictObject({
    gateway: v.optional(
      v.strictObject({
        listen: v.optional(Address, "127.0.0.1:31313"),
        metrics_listen: v.optional(Address, "127.0.0.1:31314"),
        /** How long a neuron may take to its first byte: it may have a queue, and a whole answer has no earlier one. */
        response_timeout_s: v.optional(Seconds, 1800),
        /** The longest silence within an answer; there is no limit on its whole length. */
        idle_timeout_s: v.optional(Seconds, 300),
        /** The longest silence within a stream that is translated; some clients leave after two minutes of it. */
        keepalive_s: v.optional(v.pipe(Seconds, v.maxValue(60)), 10),
        body_limit_mb: v.optional(v.pipe(v.number(), v.gtValue(0), v.maxValue(1024)), 32),
        /** How long running requests may take to end after SIGTERM. */
        drain_s: v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(86_400)), 5),
        log_level: v.optional(v.picklist(["debug", "info", "warn", "error"]), "info"),
        log_format: v.optional(v.picklist(["text", "json"]), "text"),
      }),
      {},
    ),
    poll: v.optional(
      v.strictObject({
        interval_s: v.optional(Seconds, 5),
        /** The rhythm while a neuron starts or loads a model. */
        loading_interval_s: v.optional(Seconds, 1),
        /** Per call. */
        timeout_s: v.optional(Seconds, 5),
        /** Failed polls in a row that make a neuron unreachable; one success heals it. */
        strikes: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1)), 3),
      }),
      {},
    ),
    /** Responses that clients may refer to later (previous_response_id). */
    responses: v.optional(
      v.strictObject({
        keep_h: v.optional(v.pipe(v.number(), v.gtValue(0), v.maxValue(720)), 24),
        /** The oldest go first. */
        max_mb: v.optional(v.pipe(v.number(), v.gtValue(0)), 64),
      }),
      {},
    ),
    /** Traces of requests, sent to an OpenTelemetry collector. */
    traces: v.optional(
      v.strictObject({
        /** The collector's OTLP address: http://host:4318. Without it there are no traces. */
        endpoint: v.optional(Endpoint),
        /** Of the requests that do not come with a trace of their own, how many have one: 0 to 1. */
        ratio: v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(1)), 1),
        /** Sent along: a collector's key. */
        headers: v.optional(
          v.record(Name, v.pipe(v.string("expected a text"), v.metadata({ secret: true }))),
          {},
        ),
      }),
      {},
    ),
    /** Models that a request asks for and no neuron has. */
    loading: v.optional(
      v.strictObject({
        /** False: only an operator loads models. */
        on_demand: v.optional(v.boolean(), true),
        /** One load on one neuron, its download included. */
        timeout_s: v.optional(Seconds, 1800),
        /** How long a request waits for its model. */
        wait_s: v.optional(Seconds, 900),
      }),
      {},
    ),
    /** How models make room for others. */
    eviction: v.optional(
      v.strictObject({
        /** Which goes first: the one not used for longest, or the one of the lowest residency_priority. */
        strategy: v.optional(v.picklist(["lru", "priority"]), "lru"),
        /** How long a model that must go may take to end its requests. */
        drain_s: v.optional(Seconds, 300),
        /** A model that nobody used for so long is unloaded; 0: never. */
        idle_unload_s: v.optional(v.pipe(v.number(), v.minValue(0)), 0),
        /** Unloads after which a neuron's device is started anew, for its memory is in pieces; 0: never. */
        defrag_after_cycles: v.optional(Count, 50),
      }),
      {},
    ),
    /** Where leases, budgets and stored responses lie: "memory" for one gateway, nats://host:4222 for several. */
    state: v.optional(
      v.pipe(v.string(), v.regex(/^(memory$|(nats|tls):\/\/.)/, 'expected "memory" or nats://host:4222')),
      "memory",
    ),
    /** A file with a NATS user's JWT and seed. Relative to the file that says so. */
    state_credentials: v.optional(Name),
    /** Copies that a cluster of NATS servers keeps. */
    state_replicas: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(5)), 1),
    /** Gateways of one name share their state; two fleets on one NATS need two. */
    state_name: v.optional(
      v.pipe(v.string(), v.regex(/^[a-zA-Z0-9_-]+$/, "expected letters, digits, - and _")),
      "cortex",
    ),
    /** Who is asked for a key; `cortex key add` makes them. */
    auth: v.optional(
      v.strictObject({
        /** "optional": known keys are metered and held to their limits, everybody else is served without. */
        mode: v.optional(v.picklist(["off", "optional", "required"]), "off"),
        /** Relative to the file that says so. */
        keys_file: v.optional(Name, "keys.json"),
      }),
      {},
    ),
    /** A neuron that fails again and again is left alone for a while. */
    breaker: v.optional(
      v.strictObject({
        /** Failures in a row: no connection, no valid answer, broken off, too late. */
        failures: v.optional(v.pipe(Count, v.minValue(1)), 5),
        /** Until one request may try it again; twice as long after each that fails. */
        pause_s: v.optional(Seconds, 5),
        longest_pause_s: v.optional(Seconds, 60),
      }),
      {},
    ),
    neurons: v.optional(v.array(Neuron), []),
    /** The neuron that the gateway starts beside itself when none is listed. */
    local_neuron: v.optional(
      v.strictObject({
        /** What `neuron --model` takes: demo, a folder, or org/name. */
        model: v.optional(Name),
        /** Taken when free, else any free one. */
        port: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65535))),
      }),
      {},
    ),
    /** Relative to the file that says so. Without it: the models.toml beside cortex.toml, if there is one. */
    models_config: v.optional(Name),
  }),
  v.forward(
    v.check(
      ({ neurons }) => new Set(neurons.map((n) => n.name)).size === neurons.length,
      "two have the same name",
    ),
    ["neurons"],
  ),
  v.forward(
    v.check(
      ({ neurons, local_neuron }) => neurons.length === 0 || Object.keys(local_neuron).length === 0,
      "is of use only where no [[neurons]] are listed",
    ),
    ["local_neuron"],
  ),
);
export type CortexConfig = v.InferOutput<typeof CortexConfig>;

export const ModelsConfig = v.pipe(
  v.strictObject({
    /** Models which the fleet is meant to have: listed even while no neuron has them. */
    models: v.optional(
      v.array(
        v.strictObject({
          id: Name,
          /** Where a neuron finds it when the id does not say: a folder or org/name[@revision]. */
          source: v.optional(Name),
          /** Block format for its weights, when they are not to stay as they are stored. */
          quant: v.optional(Name),
          /** Tokens of prompt and answer together. */
          context_length: v.optional(v.pipe(Count, v.minValue(1))),
          /** What it takes of a device's memory, in MiB; default: what it took when it was last seen. */
          vram_mb: v.optional(v.pipe(v.number(), v.gtValue(0))),
          /** Devices that it is spread over, each with at least so much memory. */
          min_devices: v.optional(v.pipe(Count, v.minValue(1)), 1),
          min_device_vram_mb: v.optional(v.pipe(v.number(), v.gtValue(0))),
          /** Neurons by name: it is loaded on no other, on these at the start and when it is lost, and there it stays. */
          pinned_on: v.optional(v.array(Name), []),
          /** A model makes room only for one of the same or a higher priority. */
          residency_priority: v.optional(v.pipe(v.number(), v.integer()), 100),
          /** US dollars for a million tokens, for clients that add up what they spend; absent: not told. */
          cost: v.optional(
            v.strictObject({
              input: Dollars,
              output: Dollars,
              cache_read: v.optional(Dollars),
              cache_write: v.optional(Dollars),
            }),
          ),
          /** In place of eviction.idle_unload_s. */
          idle_unload_s: v.optional(v.pipe(v.number(), v.minValue(0))),
        }),
      ),
      [],
    ),
    /** Another name for a model; the concrete id is what the neuron is asked for. */
    aliases: v.optional(v.record(Name, Name), {}),
  }),
  v.forward(
    v.check(({ models }) => new Set(models.map((m) => m.id)).size === models.length, "two have the same id"),
    ["models"],
  ),
  v.forward(
    v.check(
      ({ aliases }) => Object.values(aliases).every((id) => !Object.hasOwn(aliases, id)),
      "an alias names a model, not another alias",
    ),
    ["aliases"],
  ),
);
export type ModelsConfig = v.InferOutput<typeof ModelsConfig>;

export interface Config {
  cortex: CortexConfig;
  models: ModelsConfig;
  /** auth.keys_file, absolute; it need not exist. */
  keysFile: string;
  /** The files that were read, for the log. */
  files: string[];
}

const layout = { schema: CortexConfig, file: "cortex.toml", prefix: "CORTEX_" };

/** Throws ConfigError: `cortex.toml: gateway.listen: expected host:port (got "x")`. */
export function loadConfig(sources: Sources): Config {
  const { settings: cortex, file } = readSettings(layout, sources);
  const folder = file === undefined ? resolve(sources.folder ?? ".") : dirname(file);
  const models = loadModels(cortex.models_config, folder);
  return {
    cortex,
    models: models.config,
    keysFile: resolve(folder, cortex.auth.keys_file),
    files: [file, models.file].filter((one) => one !== undefined),
  };
}

/** "127.0.0.1:31313" or "[::1]:31313" in parts. */
export function addressOf(text: string): { host: string; port: number } {
  const cut = text.lastIndexOf(":");
  return { host: text.slice(0, cut).replace(/^\[|\]$/g, ""), port: Number(text.slice(cut + 1)) };
}

function loadModels(named: string | undefined, folder: string): { config: ModelsConfig; file?: string } {
  const file = resolve(folder, named ?? "models.toml");
  if (named === undefined && !existsSync(file)) return { config: v.parse(ModelsConfig, {}) };
  return { config: readTable(ModelsConfig, file), file };
}
