// What was done to the fleet: a line of the log, Prometheus's figures, and the last things for the page.

import type { Registry } from "prom-client";
import { Counter, Gauge, Histogram } from "prom-client";
import type { Happening } from "../fleet/protocol.ts";
import type { Log } from "./log.ts";

/** Why a model was unloaded: another one needed the room, nobody used it, an operator said so. */
export type Reason = "room" | "idle" | "operator";

/** What the page is shown. */
const kept = 30;
const labels = ["model", "neuron"] as const;
const loadBuckets = [0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800];

export class Journal {
  /** The newest first. */
  readonly last: Happening[] = [];
  private readonly log: Log;
  private readonly coldStarts = this.counter(
    "cortex_cold_starts_total",
    "Requests that had to wait for their model to be loaded",
    [...labels],
  );
  private readonly evictions = this.counter(
    "cortex_evictions_total",
    "Models that were unloaded, by why: room (another one needed it), idle, operator",
    [...labels, "reason"],
  );
  private readonly failures = this.counter(
    "cortex_load_failures_total",
    "Loads that failed, by the neuron's code",
    [...labels, "code"],
  );
  private readonly restarts = this.counter(
    "cortex_neuron_restarts_total",
    "Times that a neuron's device was started anew to defragment its memory",
    ["neuron"],
  );
  private readonly loadSeconds: Histogram;

  /** `waiting`: requests that wait for a model at the moment. */
  constructor(log: Log, registry: Registry, waiting: () => number) {
    this.log = log;
    for (const counter of [this.coldStarts, this.evictions, this.failures, this.restarts])
      registry.registerMetric(counter);
    this.loadSeconds = new Histogram({
      name: "cortex_load_duration_seconds",
      help: "From the order to load a model to the moment when it takes requests, without making room for it",
      ...{ buckets: loadBuckets, labelNames: labels, registers: [registry] },
    });
    new Gauge({
      name: "cortex_requests_waiting_for_load",
      help: "Requests that wait for their model to be loaded",
      registers: [registry],
      collect() {
        this.set(waiting());
      },
    });
  }

  coldStart(model: string, neuron: string): void {
    this.coldStarts.inc({ model, neuron });
  }

  loaded(model: string, neuron: string, secs: number): void {
    this.loadSeconds.observe({ model, neuron }, secs);
    this.log.info("load done", { model, neuron, secs: round(secs) });
    this.note({ what: "loaded", model, neuron, secs: round(secs) });
  }

  loadFailed(model: string, neuron: string, code: string, reason: string): void {
    this.failures.inc({ model, neuron, code });
    this.log.warn("load failed", { model, neuron, code, reason });
    this.note({ what: "load_failed", model, neuron, reason });
  }

  unloaded(model: string, neuron: string, why: Reason, inFavourOf?: string): void {
    this.evictions.inc({ model, neuron, reason: why });
    this.log.warn("evicted", { model, neuron, reason: why, for: inFavourOf });
    const reason = { room: `for ${inFavourOf}`, idle: "nobody used it", operator: "as told" }[why];
    this.note({ what: "unloaded", model, neuron, reason });
  }

  restarted(neuron: string, secs: number): void {
    this.restarts.inc({ neuron });
    this.log.warn("device started anew", { neuron, secs: round(secs) });
    this.note({ what: "restarted", neuron, secs: round(secs) });
  }

  restartFailed(neuron: string, reason: string): void {
    this.log.warn("device not started anew", { neuron, reason });
    this.note({ what: "restart_failed", neuron, reason });
  }

  private note(happening: Omit<Happening, "at">): void {
    this.last.unshift({ at: Math.floor(Date.now() / 1000), ...happening });
    this.last.length = Math.min(this.last.length, kept);
  }

  private counter(name: string, help: string, labelNames: string[]): Counter {
    return new Counter({ name, help, labelNames, registers: [] });
  }
}

function round(secs: number): number {
  return Math.round(secs * 100) / 100;
}
