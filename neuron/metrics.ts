// Prometheus metrics of one daemon. Histograms, because summaries cannot be added up over a fleet. The model label
// takes only names of models that were found, so a client cannot grow the set.

import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from "prom-client";
import type { ImageUsage, TextEvent, Usage } from "../engine/serve/types.ts";
import { cacheMetrics } from "./cache-metrics.ts";
import type { MemoryFigures } from "./memory.ts";
import type { Entry, Models } from "./models.ts";

export type Metrics = ReturnType<typeof createMetrics>;

const latencies = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300];
const durations = [...latencies, 600, 1800];
const rates = [1, 2, 5, 10, 20, 40, 60, 80, 100, 150, 200, 300, 500, 1000];
const loads = [0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800];

export function createMetrics(models: Models, memory: () => MemoryFigures) {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  const perModel = ["model", "endpoint"];
  const counter = (name: string, help: string, labelNames: string[]) =>
    new Counter({ name: `neuron_${name}`, help, labelNames, registers });
  const histogram = (name: string, help: string, labelNames: string[], buckets: number[]) =>
    new Histogram({ name: `neuron_${name}`, help, labelNames, buckets, registers });
  gauges(models, memory, registry);
  cacheMetrics(models, registry);

  return {
    registry,
    requests: counter("requests_total", "Generations by outcome: a finish reason or an error code.", [
      ...perModel,
      "outcome",
    ]),
    errors: counter("errors_total", "Requests of any route that failed, by error code.", ["code"]),
    tokens: counter(
      "tokens_total",
      "Tokens by kind: prompt (cached ones and those of images too), cached, image, completion, reasoning.",
      ["model", "kind"],
    ),
    images: counter(
      "images_total",
      "Images of prompts by outcome: encoded by the vision tower, or cached embeddings.",
      ["model", "outcome"],
    ),
    imageEncode: histogram(
      "image_encode_seconds",
      "The vision tower's time for the images of a prompt that were not cached.",
      ["model"],
      latencies,
    ),
    firstToken: histogram(
      "time_to_first_token_seconds",
      "From the request to its first text.",
      perModel,
      latencies,
    ),
    rate: histogram("decode_tokens_per_second", "Tokens drawn a second, after the first.", ["model"], rates),
    duration: histogram(
      "request_duration_seconds",
      "From the request to its last byte.",
      perModel,
      durations,
    ),
    load: histogram(
      "model_load_seconds",
      "From asking for a model to serving it, downloads included.",
      ["model"],
      loads,
    ),
  };
}

function gauges(models: Models, memory: () => MemoryFigures, registry: Registry): void {
  const gauge = (name: string, help: string, labelNames: string[], fill: (gauge: Gauge) => void) =>
    new Gauge({
      name: `neuron_${name}`,
      help,
      labelNames,
      registers: [registry],
      collect() {
        this.reset();
        fill(this);
      },
    });
  const loaded = (fill: (gauge: Gauge, entry: Entry) => void) => (g: Gauge) => {
    for (const entry of models.list()) fill(g, entry);
  };
  gauge(
    "requests_in_flight",
    "Requests that the device works on.",
    ["model"],
    loaded((g, { id, model }) => {
      g.set({ model: id }, model?.load.running ?? 0);
    }),
  );
  gauge(
    "requests_queued",
    "Requests that wait for their turn.",
    ["model"],
    loaded((g, { id, model }) => {
      g.set({ model: id }, model?.load.waiting ?? 0);
    }),
  );
  gauge(
    "model_status",
    "1 for the status that the model has.",
    ["model", "status"],
    loaded((g, { id, status }) => {
      g.set({ model: id, status }, 1);
    }),
  );
  gauge("device_memory_bytes", "Memory of the devices together, where known.", ["kind"], (g) => {
    const { totalMb: total, usedMb: used, freeMb: free } = memory();
    for (const [kind, mb] of Object.entries({ total, used, free })) {
      if (mb !== null) g.set({ kind }, mb * 2 ** 20);
    }
  });
}

/** Watches one generation from the request to its end. */
export interface Meter {
  /** Passes the events through and counts them. */
  watch(events: AsyncIterable<TextEvent>): AsyncIterable<TextEvent>;
  /** `outcome`: an error code; a finished generation has reported its reason already. */
  failed(code: string): void;
  /** The last byte is out. */
  ended(): void;
}

export function startMeter(metrics: Metrics, entry: Entry, endpoint: string, choices: number): Meter {
  const started = performance.now();
  const model = entry.id;
  const since = () => (performance.now() - started) / 1000;
  let first = true;
  let finished = 0;

  async function* watch(events: AsyncIterable<TextEvent>): AsyncGenerator<TextEvent> {
    for await (const event of events) {
      if (event.type === "finished") {
        finished += 1;
        if (finished === choices) metrics.requests.inc({ model, endpoint, outcome: event.reason });
        countTokens(metrics, entry, event.usage);
      } else if (event.type !== "started" && first) {
        first = false;
        metrics.firstToken.observe({ model, endpoint }, since());
      }
      yield event;
    }
  }

  return {
    watch,
    failed: (code) => {
      metrics.requests.inc({ model, endpoint, outcome: code });
    },
    ended: () => {
      entry.usedAt = performance.now();
      metrics.duration.observe({ model, endpoint }, since());
    },
  };
}

function countTokens(metrics: Metrics, entry: Entry, usage: Usage): void {
  const model = entry.id;
  metrics.tokens.inc({ model, kind: "prompt" }, usage.promptTokens);
  metrics.tokens.inc({ model, kind: "cached" }, usage.cachedTokens);
  metrics.tokens.inc({ model, kind: "completion" }, usage.completionTokens);
  metrics.tokens.inc({ model, kind: "reasoning" }, usage.reasoningTokens);
  if (usage.images) countImages(metrics, model, usage.images);
  const decode = perSecond(usage.completionTokens - 1, usage.decodeMs);
  const prefill = perSecond(usage.promptTokens - usage.cachedTokens, usage.prefillMs);
  if (decode !== undefined) metrics.rate.observe({ model }, decode);
  entry.speed = {
    decode: average(entry.speed.decode, decode),
    prefill: average(entry.speed.prefill, prefill),
  };
}

function countImages(metrics: Metrics, model: string, { count, cached, tokens, encodeMs }: ImageUsage): void {
  metrics.tokens.inc({ model, kind: "image" }, tokens);
  metrics.images.inc({ model, outcome: "cached" }, cached);
  metrics.images.inc({ model, outcome: "encoded" }, count - cached);
  if (count > cached) metrics.imageEncode.observe({ model }, encodeMs / 1000);
}

function perSecond(count: number, ms: number): number | undefined {
  return count > 0 && ms > 0 ? (count * 1000) / ms : undefined;
}

/** The newest value weighs 0.3. */
function average(old: number | null, value: number | undefined): number | null {
  if (value === undefined) return old;
  return old === null ? value : 0.7 * old + 0.3 * value;
}
