// docs/reference/metrics.md: what Prometheus reads of both daemons, from their registries.

import type { Registry } from "prom-client";
import { Breakers } from "../../gateway/fleet/breaker.ts";
import { Fleet } from "../../gateway/fleet/fleet.ts";
import { Journal } from "../../gateway/telemetry/journal.ts";
import { createLog } from "../../gateway/telemetry/log.ts";
import { Metrics } from "../../gateway/telemetry/metrics.ts";
import { createMetrics } from "../../neuron/metrics.ts";
import type { Models } from "../../neuron/models.ts";

export interface MetricLine {
  name: string;
  help: string;
  type: string;
  labels: string[];
}

/** Of a daemon with nothing in it: the names do not depend on that. Node's own metrics are left out. */
export function metricLines(): { cortex: MetricLine[]; neuron: MetricLine[] } {
  const none = { list: () => [] } as unknown as Models;
  const memory = () => ({ totalMb: null, usedMb: null, freeMb: null });
  return {
    cortex: lines(gatewayRegistry()),
    neuron: lines(createMetrics(none, memory).registry),
  };
}

/** With what the journal of the fleet counts. */
function gatewayRegistry(): Registry {
  const { registry } = new Metrics(
    new Fleet(3),
    new Breakers({ failures: 5, pauseMs: 5000, longestPauseMs: 60_000 }, () => 0),
  );
  new Journal(createLog({ level: "error", format: "text" }), registry, () => 0);
  return registry;
}

function lines(registry: Registry): MetricLine[] {
  const metrics = registry.getMetricsAsArray() as unknown as (Omit<MetricLine, "labels"> & {
    labelNames: string[];
  })[];
  return metrics
    .filter(({ name }) => /^(cortex|neuron)_/.test(name))
    .map(({ name, help, type, labelNames }) => ({ name, help, type, labels: [...labelNames] }));
}

export function metricsPage(): string {
  const { cortex, neuron } = metricLines();
  return [
    "# Metrics",
    "",
    "`cortex` serves Prometheus' text at `/metrics` on port 31314, each neuron at `/metrics` on its own port, with Node's",
    "default metrics beside these. `deploy/monitoring` has a Grafana dashboard and alert rules that use them.",
    "",
    "## cortex",
    "",
    ...table(cortex),
    "## neuron",
    "",
    ...table(neuron),
  ].join("\n");
}

function table(metrics: MetricLine[]): string[] {
  const rows = metrics.map(({ name, type, labels, help }) => {
    const marked = labels.map((label) => `\`${label}\``).join(", ");
    return `| \`${name}\` | ${String(type)} | ${marked} | ${help} |`;
  });
  return ["| name | type | labels | |", "|---|---|---|---|", ...rows, ""];
}
