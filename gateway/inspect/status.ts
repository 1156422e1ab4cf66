// `cortex status`: what GET /health and /v1/models say, as tables. Pure but for the two questions.

import { AnswerError, baseOf, call } from "../../kit/client.ts";
import type { Client } from "../../kit/client.ts";
import { complaintDocument } from "../../kit/complaint.ts";
import { table } from "../../kit/table.ts";
import type { ModelItem } from "../fleet/catalogue.ts";
import type { FleetHealth, NeuronHealth } from "../fleet/health.ts";
import { modelsTable } from "./models-table.ts";

export interface Status {
  health: FleetHealth;
  models: ModelItem[];
}

export interface StatusResult {
  text: string;
  /** Why it is no status. */
  complaint?: string;
  /** 0: all well; 1: degraded, still starting, or it wants another key; 2: no gateway answered. */
  exitCode: 0 | 1 | 2;
}

export async function status(
  client: Client,
  asJson: boolean,
  { compact = false } = {},
): Promise<StatusResult> {
  const base = baseOf(client);
  const signal = AbortSignal.timeout(5000);
  let found: Status;
  try {
    const [health, models] = await Promise.all([
      call(client, "/health", { signal }),
      call(client, "/v1/models", { signal }),
    ]);
    found = { health: health as FleetHealth, models: (models as { data: ModelItem[] }).data };
    if (!Array.isArray(found.health.fleet) || !Array.isArray(found.models))
      throw new AnswerError("not a cortex gateway");
  } catch (error) {
    if (!(error instanceof AnswerError)) throw error;
    return unanswered(base, error, asJson);
  }
  const exitCode = found.health.status === "ok" ? 0 : 1;
  const text = asJson ? JSON.stringify(found, undefined, compact ? 0 : 2) : statusText(base, found);
  return { text, exitCode };
}

/** A gateway that wants another key is there all the same. */
function unanswered(base: string, error: AnswerError, asJson: boolean): StatusResult {
  const why = error.reason ?? error.message;
  const exitCode = error.status === 401 || error.status === 403 ? 1 : 2;
  const help = error.status === undefined ? "; `cortex serve` starts one, --endpoint names another" : "";
  const text =
    exitCode === 1
      ? `the gateway on ${base} refuses: ${why}`
      : `no gateway answers on ${base}: ${why}${help}`;
  const { code, status } = error;
  const document = complaintDocument({ message: text, code, ...(status !== undefined && { status }) });
  return { text: asJson ? document : text, complaint: text, exitCode };
}

function statusText(base: string, { health, models }: Status): string {
  const { healthy, total } = health.neurons;
  const head = `cortex ${health.version} on ${base}: ${health.status}, ${healthy} of ${total} neurons healthy`;
  const fleet = table(
    ["NEURON", "STATE", "DEVICES", "MEMORY", "MODELS", "IN FLIGHT", "QUEUED"],
    health.fleet.map(neuronRow),
  );
  const parts = [[head], fleet, modelsTable(models), health.fleet.flatMap(failures)];
  return parts.flatMap((lines) => (lines.length === 0 ? [] : lines.join("\n"))).join("\n\n");
}

function failures({ name, models }: NeuronHealth): string[] {
  return models.flatMap(({ id, error }) => (error === undefined ? [] : `${id} failed on ${name}: ${error}`));
}

const circuits: Partial<Record<string, string>> = {
  open: ", left alone: its last requests failed",
  half_open: ", to be tried again",
};

function neuronRow(neuron: NeuronHealth): string[] {
  const sum = (key: "in_flight" | "queue_depth") => String(neuron.models.reduce((n, m) => n + m[key], 0));
  const loaded = neuron.models.filter(({ status }) => status === "loaded");
  const state = (neuron.draining ? "draining" : neuron.state) + (circuits[neuron.circuit] ?? "");
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

/** "1.5/24.0 GiB"; what nobody knows is a question mark. */
function memory(usedMb: number | null, totalMb: number | null): string {
  if (usedMb === null && totalMb === null) return "?";
  const gib = (mb: number | null) => (mb === null ? "?" : (mb / 1024).toFixed(1));
  return `${gib(usedMb)}/${gib(totalMb)} GiB`;
}
