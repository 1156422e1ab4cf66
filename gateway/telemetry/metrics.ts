// What Prometheus reads. Labels model and neuron are the fleet's own names (empty before routing), never a client's
// words, so nobody can fill the store with series. Gauges are filled when read: what is gone leaves no label behind.

import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from "prom-client";
import type { Usage } from "../wire/answer.ts";
import type { Breakers } from "../fleet/breaker.ts";
import type { Exchange } from "./exchange.ts";
import { timingOf } from "./exchange.ts";
import type { Fleet } from "../fleet/fleet.ts";

const labels = ["model", "neuron"] as const;
const durationBuckets = [0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1200];
const firstTokenBuckets = [0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 30, 60, 120];
const rateBuckets = [1, 2.5, 5, 10, 15, 20, 30, 40, 60, 80, 120, 200];

export class Metrics {
  readonly registry = new Registry();
  private readonly requests = this.counter("cortex_requests_total", "Requests that have ended");
  private readonly errors = new Counter({
    name: "cortex_request_errors_total",
    help: "Requests that ended in an error, before or within the answer; a client that hung up is none",
    labelNames: [...labels, "code"],
    registers: [this.registry],
  });
  private readonly promptTokens = this.counter(
    "cortex_prompt_tokens_total",
    "Tokens of prompts, as neurons count",
  );
  private readonly completionTokens = this.counter(
    "cortex_completion_tokens_total",
    "Tokens of answers; of one that was broken off, the pieces of it that had come",
  );
  private readonly cachedTokens = this.counter(
    "cortex_cached_prompt_tokens_total",
    "Tokens of prompts that a neuron's prefix cache already held",
  );
  private readonly duration = this.histogram(
    "cortex_request_duration_seconds",
    "From a request's arrival to the last byte of its answer, where a neuron answered",
    durationBuckets,
  );
  private readonly firstToken = this.histogram(
    "cortex_time_to_first_token_seconds",
    "From a request's arrival to the first content, reasoning or tool call of its stream",
    firstTokenBuckets,
  );
  private readonly rate = this.histogram(
    "cortex_tokens_per_second",
    "Completion tokens after the first, over the time between first and last delta; of all over the whole duration where there is no such window",
    rateBuckets,
  );

  private readonly keyRequests = new Counter({
    name: "cortex_key_requests_total",
    help: "Requests that have ended, by the name of their API key; code is empty where there was no error",
    labelNames: ["key", "code"],
    registers: [this.registry],
  });
  private readonly keyTokens = new Counter({
    name: "cortex_key_tokens_total",
    help: "Tokens that were charged to an API key, by kind; cached ones are among the prompt's",
    labelNames: ["key", "kind"],
    registers: [this.registry],
  });

  constructor(fleet: Fleet, breakers: Breakers) {
    const gauge = (name: string, help: string, fill: (gauge: Gauge) => void, labelNames: string[]) =>
      new Gauge({
        ...{ name, help, labelNames, registers: [this.registry] },
        collect() {
          this.reset();
          fill(this);
        },
      });
    gauge(
      "cortex_neuron_healthy",
      "1 when the last poll counts it as healthy, else 0",
      (g) => healthy(g, fleet),
      ["neuron"],
    );
    gauge(
      "cortex_neuron_circuit_open",
      "1 while the neuron is left alone because its last requests failed, else 0",
      (g) => {
        for (const { name } of fleet.neurons)
          g.set({ neuron: name }, Number(breakers.stateOf(name) !== "closed"));
      },
      ["neuron"],
    );
    gauge("cortex_model_loaded", "1 when the neuron has the model loaded, else 0", (g) => loaded(g, fleet), [
      ...labels,
    ]);
    gauge("cortex_model_in_flight", "Requests that the neuron works on", (g) => load(g, fleet, "inFlight"), [
      ...labels,
    ]);
    gauge(
      "cortex_model_queue_depth",
      "Requests that wait on the neuron",
      (g) => load(g, fleet, "queueDepth"),
      [...labels],
    );
  }

  /** CPU, memory and event loop of the gateway itself. */
  watchProcess(): void {
    collectDefaultMetrics({ register: this.registry });
  }

  /** Counts an exchange that ended at `endedAt` (performance.now()). */
  record(exchange: Exchange, endedAt: number): void {
    const { model, neuron, seen, errorCode } = exchange;
    const where = { model, neuron };
    this.requests.inc(where);
    if (errorCode !== undefined) this.errors.inc({ ...where, code: errorCode });
    if (seen === undefined) return; // no neuron answered
    const timing = timingOf(exchange, endedAt);
    this.duration.observe(where, timing.durationS);
    if (timing.firstTokenS !== undefined) this.firstToken.observe(where, timing.firstTokenS);
    if (timing.tokensPerSecond !== undefined) this.rate.observe(where, timing.tokensPerSecond);
    const pieces = seen.usage?.completionTokens || seen.deltas;
    if (pieces > 0) this.completionTokens.inc(where, pieces);
    if (seen.usage === undefined) return;
    this.promptTokens.inc(where, seen.usage.promptTokens);
    this.cachedTokens.inc(where, seen.usage.cachedTokens);
  }

  /** Counts what an exchange cost its key. */
  recordKey(key: string, tokens: Usage, errorCode: string | undefined): void {
    this.keyRequests.inc({ key, code: errorCode ?? "" });
    this.keyTokens.inc({ key, kind: "prompt" }, tokens.promptTokens);
    this.keyTokens.inc({ key, kind: "cached" }, tokens.cachedTokens);
    this.keyTokens.inc({ key, kind: "completion" }, tokens.completionTokens);
  }

  private counter(name: string, help: string) {
    return new Counter({ name, help, labelNames: labels, registers: [this.registry] });
  }

  private histogram(name: string, help: string, buckets: number[]) {
    return new Histogram({ name, help, buckets, labelNames: labels, registers: [this.registry] });
  }
}

function healthy(gauge: Gauge, fleet: Fleet): void {
  for (const { name, state } of fleet.neurons) gauge.set({ neuron: name }, Number(state === "healthy"));
}

function loaded(gauge: Gauge, fleet: Fleet): void {
  for (const { neuron, model } of reachable(fleet))
    gauge.set({ model: model.id, neuron }, Number(model.status === "loaded"));
}

function load(gauge: Gauge, fleet: Fleet, key: "inFlight" | "queueDepth"): void {
  for (const { neuron, model } of reachable(fleet)) gauge.set({ model: model.id, neuron }, model[key]);
}

function reachable(fleet: Fleet) {
  return fleet.neurons
    .filter(({ state }) => state === "healthy")
    .flatMap(({ name, models }) => models.map((model) => ({ neuron: name, model })));
}
