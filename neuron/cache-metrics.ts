// What a model's KV cache, prefix cache and devices tell of themselves, for Prometheus. Known from a model's first request on;
// counters begin anew when it is loaded again, as Prometheus expects of them.

import { Counter, Gauge } from "prom-client";
import type { Registry } from "prom-client";
import type { CacheFigures, SumFigures } from "../engine/serve/types.ts";
import type { Models } from "./models.ts";

type Figure = [name: string, help: string, of: (cache: CacheFigures) => Record<string, number>];

const gauges: readonly Figure[] = [
  ["kv_cache_pages", "Pages of the KV cache: used, idle (kept for prompts to come) or free.", (c) => c.pages],
  ["prefix_cache_bytes", "Device memory that holds what may be reused.", (c) => ({ "": c.bytes })],
  ["prefix_cache_snapshots", "Saved states of models with delta nets.", (c) => ({ "": c.snapshots })],
];
const counters: readonly Figure[] = [
  ["prefix_cache_lookups_total", "Sequences that began.", (c) => ({ "": c.lookups })],
  ["prefix_cache_hits_total", "Those of them that found part of their prompt.", (c) => ({ "": c.hits })],
  [
    "prefix_cache_tokens_total",
    "Tokens of sequences that began: all, and those that were reused.",
    (c) => ({ looked_up: c.lookedUpTokens, reused: c.reusedTokens }),
  ],
  [
    "preemptions_total",
    "Sequences that gave up their pages and began again.",
    (c) => ({ "": c.preemptions }),
  ],
  [
    "device_sums_total",
    "Sums over the devices of a model that is spread over several.",
    ({ sums }): Record<string, number> => (sums ? { "": sums.sums } : {}),
  ],
  [
    "device_sum_seconds_total",
    "Their time on the device that leads: computing (what is summed), readback, waiting (for other devices), reducing.",
    ({ sums }): Record<string, number> => (sums ? secondsOf(sums) : {}),
  ],
];

function secondsOf({ computingMs, readbackMs, waitingMs, reducingMs }: SumFigures): Record<string, number> {
  const parts = { computing: computingMs, readback: readbackMs, waiting: waitingMs, reducing: reducingMs };
  return Object.fromEntries(Object.entries(parts).map(([part, ms]) => [part, ms / 1000]));
}

export function cacheMetrics(models: Models, registry: Registry): void {
  const each = (of: (cache: CacheFigures) => Record<string, number>) =>
    models.list().flatMap(({ id, model }) =>
      Object.entries(model?.cache ? of(model.cache) : {}).map(([kind, value]) => ({
        labels: kind === "" ? { model: id } : { model: id, kind },
        value,
      })),
    );
  const registers = [registry];
  for (const [name, help, of] of gauges) {
    const collect = function (this: Gauge) {
      this.reset();
      for (const { labels, value } of each(of)) this.set(labels, value);
    };
    new Gauge({ name: `neuron_${name}`, help, labelNames: ["model", "kind"], registers, collect });
  }
  for (const [name, help, of] of counters) {
    const collect = function (this: Counter) {
      this.reset();
      for (const { labels, value } of each(of)) this.inc(labels, value);
    };
    new Counter({ name: `neuron_${name}`, help, labelNames: ["model", "kind"], registers, collect });
  }
}
