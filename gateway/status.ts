// `cortex status`: what GET /health and /v1/models say, as tables. Pure but for the two questions.

import { request } from "undici";
import { table } from "../kit/table.ts";
import type { ModelItem } from "./catalogue.ts";
import type { FleetHealth, NeuronHealth } from "./health.ts";
import { faultOf } from "./neuron-client.ts";

export interface Status {
  health: FleetHealth;
  models: ModelItem[];
}

export interface StatusResult {
  text: string;
  /** 0: all well; 1: degraded or still starting; 2: no gateway answered. */
  exitCode: 0 | 1 | 2;
}

export async function status(endpoint: string, asJson: boolean): Promise<StatusResult> {
  const base = endpoint.replace(/\/+$/, "");
  let found: Status;
  try {
    const [health, models] = await Promise.all([getJson(`${base}/health`), getJson(`${base}/v1/models`)]);
    found = { health: health as FleetHealth, models: (models as { data: ModelItem[] }).data };
    if (!Array.isArray(found.health.fleet) || !Array.isArray(found.models))
      throw new Error("not a cortex gateway");
  } catch (error) {
    const why = faultOf(error);
    const text = asJson
      ? JSON.stringify({ error: why, endpoint: base })
      : `no gateway answers on ${base}: ${why}`;
    return { text, exitCode: 2 };
  }
  const exitCode = found.health.status === "ok" ? 0 : 1;
  return { text: asJson ? JSON.stringify(found, null, 2) : statusText(base, found), exitCode };
}

async function getJson(url: string): Promise<unknown> {
  const { statusCode, body } = await request(url, { signal: AbortSignal.timeout(5000) });
  if (statusCode !== 200) throw new Error(`status ${statusCode}`);
  return body.json();
}

export function statusText(base: string, { health, models }: Status): string {
  const { healthy, total } = health.neurons;
  const head = `cortex ${health.version} on ${base}: ${health.status}, ${healthy} of ${total} neurons healthy`;
  const fleet = table(
    ["NEURON", "STATE", "DEVICES", "MEMORY", "MODELS", "IN FLIGHT", "QUEUED"],
    health.fleet.map(neuronRow),
  );
  const list = table(["MODEL", "STATUS", "WHERE", "CONTEXT", "CAPABILITIES"], models.map(modelRow));
  return [[head], fleet, list].map((lines) => lines.join("\n")).join("\n\n");
}

function neuronRow(neuron: NeuronHealth): string[] {
  const sum = (key: "in_flight" | "queue_depth") => String(neuron.models.reduce((n, m) => n + m[key], 0));
  const loaded = neuron.models.filter(({ status }) => status === "loaded");
  const state = neuron.draining ? "shutting down" : neuron.state;
  return [
    neuron.name,
    neuron.reason === undefined ? state : `${state} (${neuron.reason})`,
    neuron.devices.map(({ name, kind }) => (kind === "software" ? `${name} (software)` : name)).join(", "),
    neuron.devices.map(({ vram_used_mb, vram_total_mb }) => memory(vram_used_mb, vram_total_mb)).join(", "),
    `${loaded.length} of ${neuron.models.length} loaded`,
    sum("in_flight"),
    sum("queue_depth"),
  ];
}

function modelRow(item: ModelItem): string[] {
  const where = item.locations.map(({ neuron, status, percent }) =>
    status === "loaded" ? neuron : `${neuron} (${status}${percent === undefined ? "" : ` ${percent} %`})`,
  );
  return [
    item.id,
    item.alias_of !== undefined ? `alias of ${item.alias_of}` : item.loaded ? "loaded" : "not loaded",
    where.join(", "),
    item.limit ? String(item.limit.context) : "",
    item.capabilities.join(", "),
  ];
}

/** "1.5/24.0 GiB"; what nobody knows is a question mark. */
function memory(usedMb: number | null, totalMb: number | null): string {
  if (usedMb === null && totalMb === null) return "?";
  const gib = (mb: number | null) => (mb === null ? "?" : (mb / 1024).toFixed(1));
  return `${gib(usedMb)}/${gib(totalMb)} GiB`;
}
