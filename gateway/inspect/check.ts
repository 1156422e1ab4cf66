// `cortex check`: the configuration files, and what every neuron in them answers. Changes nothing.

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { text } from "node:stream/consumers";
import { join } from "node:path";
import { AnswerError, call } from "../../kit/client.ts";
import { ConfigError, loadConfig } from "../config.ts";
import type { Config, Sources } from "../config.ts";
import type { Finding } from "./findings.ts";
import type { Report } from "../fleet/view.ts";
import { readKeys } from "../keys/keys-file.ts";
import { readNeuron } from "../fleet/neuron-client.ts";
import { openDispatcher } from "../wire/upstream.ts";

export interface CheckSettings extends Sources {
  /** Only the files. */
  offline: boolean;
  /** The neuron's program, which reads neuron.toml. */
  neuronScript: string;
}

type Neuron = Config["cortex"]["neurons"][number];

/** Findings in the order in which they are made: files first. */
export async function* check(settings: CheckSettings): AsyncGenerator<Finding> {
  let config: Config;
  try {
    config = loadConfig(settings);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    for (const line of error.message.split("\n")) yield fail("configuration", line);
    return;
  }
  yield* fileFindings(config);
  if (config.cortex.neurons.length === 0) yield* localFindings(settings);
  if (settings.offline) return;
  const reports = new Map<string, Report | undefined>();
  for (const neuron of config.cortex.neurons) yield await neuronFinding(neuron, config, reports);
  yield* modelFindings(config, reports);
}

function* fileFindings({ cortex, models, files, keysFile }: Config): Generator<Finding> {
  const where = files.length > 0 ? files.join(", ") : "no files, so the defaults";
  yield pass("configuration", where);
  const aliases = Object.keys(models.aliases).length;
  yield pass("models", `${models.models.length} listed, ${aliases} ${aliases === 1 ? "alias" : "aliases"}`);
  for (const [alias, id] of Object.entries(models.aliases))
    if (!models.models.some((model) => model.id === id))
      yield note("models", `alias ${alias}: ${id} is not listed, so it works only while a neuron has it`);
  const names = new Set(cortex.neurons.map(({ name }) => name));
  for (const { id, pinned_on } of models.models)
    for (const name of pinned_on.filter((pinned) => !names.has(pinned)))
      yield fail("models", `${id}: pinned_on names ${name}, and no neuron is called so`);
  yield* keyFindings(cortex.auth.mode, keysFile);
}

function* keyFindings(mode: Config["cortex"]["auth"]["mode"], file: string): Generator<Finding> {
  if (mode === "off") return;
  try {
    const { length } = readKeys(file);
    if (length > 0 || mode === "optional") yield pass("keys", `${length} in ${file}`);
    else yield fail("keys", `auth.mode is required and ${file} holds none; \`cortex key add\` makes one`);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    yield fail("keys", error.message);
  }
}

/** Its own command knows its own file. */
async function* localFindings({
  neuronScript,
  folder = ".",
  env = {},
}: CheckSettings): AsyncGenerator<Finding> {
  const isSaid =
    existsSync(join(folder, "neuron.toml")) || Object.keys(env).some((name) => /^NEURON_/.test(name));
  if (!isSaid) return;
  const child = spawn(process.execPath, [neuronScript, "check"], { cwd: folder, env: { ...env } });
  const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)]);
  const lines = `${out}${err}`.trim().split("\n");
  yield (await ended) === 0 ? pass("local neuron", lines[0]!) : fail("local neuron", lines.join("; "));
}

async function neuronFinding(
  neuron: Neuron,
  config: Config,
  reports: Map<string, Report | undefined>,
): Promise<Finding> {
  const timeoutMs = config.cortex.poll.timeout_s * 1000;
  const { name, endpoint } = neuron;
  const what = `neuron ${name}`;
  try {
    if (neuron.kind === "openai") return pass(what, await serverAnswer(neuron, timeoutMs));
    const report = await neuronAnswer(endpoint, timeoutMs);
    reports.set(name, report);
    return pass(what, described(endpoint, report));
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const next = why.includes("ECONNREFUSED") ? "; is `neuron --host 0.0.0.0` running there?" : "";
    return fail(what, `${endpoint}: ${why}${next}`);
  }
}

async function neuronAnswer(endpoint: string, timeoutMs: number): Promise<Report> {
  const dispatcher = openDispatcher();
  const signal = AbortSignal.timeout(4 * timeoutMs);
  try {
    return await readNeuron({
      ...{ dispatcher, endpoint, timeoutMs, signal },
      ...{ discovery: undefined, urls: new Map() },
    });
  } finally {
    await dispatcher.close();
  }
}

async function serverAnswer({ endpoint, api_key: key }: Neuron, timeoutMs: number): Promise<string> {
  const answer = await call({ endpoint, key }, "/v1/models", { signal: AbortSignal.timeout(timeoutMs) });
  const { data } = answer as { data?: { id: string }[] };
  if (!Array.isArray(data)) throw new AnswerError("/v1/models is no list of models");
  return `${endpoint}: OpenAI-compatible, ${data.length} models`;
}

function described(endpoint: string, { discovery, models }: Report): string {
  const devices = discovery.devices.map(({ name, kind }) =>
    kind === "software" ? `${name} (software)` : name,
  );
  const loaded = models.filter(({ status }) => status === "loaded").map(({ id }) => id);
  return `${endpoint}: version ${discovery.version} on ${discovery.hostname}, ${devices.join(", ")}; ${
    loaded.length > 0 ? `has ${loaded.join(", ")}` : "no model loaded"
  }`;
}

function* modelFindings(
  { cortex, models }: Config,
  reports: Map<string, Report | undefined>,
): Generator<Finding> {
  for (const [name, report] of reports)
    for (const { id, error } of report?.models.filter(({ status }) => status === "failed") ?? [])
      yield fail(`neuron ${name}`, `${id} failed to load: ${error ?? "no reason given"}`);
  const present = new Set(
    [...reports.values()].flatMap((report) => report?.models.map(({ id }) => id) ?? []),
  );
  if (cortex.loading.on_demand) return;
  for (const { id } of models.models)
    if (!present.has(id) && cortex.neurons.every(({ kind }) => kind === "neuron"))
      yield note("models", `${id} is on no neuron, and loading.on_demand is off: \`cortex load ${id}\``);
}

const pass = (what: string, text: string): Finding => ({ verdict: "pass", what, text });
const fail = (what: string, text: string): Finding => ({ verdict: "FAIL", what, text });
const note = (what: string, text: string): Finding => ({ verdict: "note", what, text });
