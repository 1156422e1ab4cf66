// A new configuration taken over while requests run: all of it or, when it is wrong, nothing. What cannot change without
// a restart stays as it is, and is named. Requests under way go on with what they began with.

import { isDeepStrictEqual } from "node:util";
import type { Config, CortexConfig } from "./config.ts";
import { ConfigError } from "./config.ts";
import type { Gateway } from "./gateway.ts";
import type { Poller } from "./fleet/poller.ts";
import { addNeuron, breakerOptions, doorOf, pollOptions, requestOptions } from "./settings.ts";

export interface Reloadable {
  gateway: Gateway;
  poller: Poller;
  /** What holds now. */
  config: Config;
}

/** Settings by path; those of a table whose name stands here are meant all together. */
const live = new Set([
  ...["gateway.response_timeout_s", "gateway.idle_timeout_s", "gateway.keepalive_s", "gateway.drain_s"],
  ...["gateway.log_level", "gateway.log_format", "poll", "auth", "breaker", "loading", "eviction"],
  ...["neurons", "models_config"],
]);

/** Reads the configuration again and takes it over. False, with the reason in the log, when the old one holds. */
export async function reload(parts: Reloadable, read: () => Config): Promise<boolean> {
  const { log } = parts.gateway;
  try {
    const { changed, restart } = await takeOver(parts, read());
    log.info("configuration reloaded", { changed: changed.join(" ") || "nothing" });
    if (restart.length > 0) log.warn("settings that need a restart", { settings: restart.join(" ") });
    return true;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    log.error("configuration not reloaded; the old one holds", { reason: error.message });
    return false;
  }
}

async function takeOver(parts: Reloadable, next: Config): Promise<{ changed: string[]; restart: string[] }> {
  const { gateway, poller } = parts;
  const before = parts.config;
  const paths = differences(before.cortex, next.cortex);
  const restart = paths.filter((path) => !isLive(path, before.cortex, next.cortex));
  const changed = paths.filter((path) => !restart.includes(path));
  const door = doorOf(next, gateway.log); // the last that may fail
  const cortex = withOld(next.cortex, before.cortex, restart);
  const { bodyLimitBytes } = gateway.options; // the server was opened with it
  Object.assign(gateway.options, requestOptions(cortex), { bodyLimitBytes });
  Object.assign(gateway.breakers.options, breakerOptions(cortex));
  Object.assign(gateway.door, door);
  poller.configure(pollOptions(cortex));
  gateway.fleet.strikesToFall = cortex.poll.strikes;
  gateway.log.configure({ level: cortex.gateway.log_level, format: cortex.gateway.log_format });
  if (!isDeepStrictEqual(before.models, next.models)) changed.push("models");
  Object.assign(gateway.models, next.models);
  parts.config = { ...next, cortex };
  await changeNeurons(parts, before.cortex.neurons, cortex.neurons);
  return { changed, restart };
}

type Neurons = CortexConfig["neurons"];

async function changeNeurons(
  { gateway, poller }: Reloadable,
  before: Neurons,
  after: Neurons,
): Promise<void> {
  const { fleet, servers, breakers, drains } = gateway;
  const isIn = (neuron: Neurons[number], list: Neurons) => list.some((one) => isDeepStrictEqual(one, neuron));
  for (const neuron of before.filter((one) => !isIn(one, after))) {
    fleet.remove(neuron.name);
    servers.delete(neuron.name);
    breakers.forget(neuron.name);
    gateway.log.info("neuron left", { neuron: neuron.name });
  }
  for (const neuron of after.filter((one) => !isIn(one, before))) {
    addNeuron(gateway, neuron);
    await drains.recall(neuron.name);
    poller.follow(neuron.name);
    gateway.log.info("neuron joined", { neuron: neuron.name, endpoint: neuron.endpoint });
  }
}

/** "gateway.listen", or "neurons" for what is not a table. */
function differences(a: CortexConfig, b: CortexConfig): string[] {
  return (Object.keys({ ...a, ...b }) as (keyof CortexConfig)[]).flatMap((key) => {
    const [was, is]: unknown[] = [a[key], b[key]];
    if (isDeepStrictEqual(was, is)) return [];
    if (!isTable(was) || !isTable(is)) return [key];
    return Object.keys({ ...was, ...is })
      .filter((name) => !isDeepStrictEqual(was[name], is[name]))
      .map((name) => `${key}.${name}`);
  });
}

function isLive(path: string, before: CortexConfig, after: CortexConfig): boolean {
  // With none listed, the gateway has a neuron of its own.
  if (path === "neurons" && (before.neurons.length === 0 || after.neurons.length === 0)) return false;
  return live.has(path) || live.has(path.split(".")[0]!);
}

function withOld(next: CortexConfig, old: CortexConfig, paths: readonly string[]): CortexConfig {
  const kept = structuredClone(next) as unknown as Record<string, unknown>;
  for (const path of paths) {
    const [table, name] = path.split(".") as [keyof CortexConfig, string | undefined];
    if (name === undefined) kept[table] = old[table];
    else (kept[table] as Record<string, unknown>)[name] = (old[table] as Record<string, unknown>)[name];
  }
  return kept as unknown as CortexConfig;
}

function isTable(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
