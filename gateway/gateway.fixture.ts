// A gateway for tests, on free ports, in front of mock neurons; everything is closed at the end of the test.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as v from "valibot";
import { onTestFinished, vi } from "vitest";
import { CortexConfig, ModelsConfig } from "./config.ts";
import type { Grants, Key } from "./keys.ts";
import { mintKey } from "./keys.ts";
import { MockNeuron } from "./mock-neuron.fixture.ts";
import type { Running } from "./serve.ts";
import { serve } from "./serve.ts";
import type { Store } from "./store.ts";

// Real sockets and processes, on machines that may be busy: a failure shows as one of these running out.
vi.setConfig({ testTimeout: 30_000 });

export interface TestGateway extends Running {
  lines: string[];
  logs: Record<string, unknown>[];
  fatal: string[];
}

export interface Settings {
  neurons?: Record<string, MockNeuron>;
  /** Neurons of kind "openai". */
  servers?: Record<string, { url: string; api_key?: string; models?: Record<string, string> }>;
  /** What is in the file of keys. */
  keys?: Key[];
  /** Instead of a file with `keys` in it. */
  keysFile?: string;
  cortex?: Record<string, Record<string, unknown>>;
  models?: Record<string, unknown>;
  neuronScript?: string;
  pageFolder?: string;
  /** Shared with other gateways of the test. */
  store?: Store;
  /** Wait until every neuron has been polled; default true. */
  settled?: boolean;
}

export async function openGateway(settings: Settings = {}): Promise<TestGateway> {
  const { neurons = {}, servers = {}, cortex = {}, models = {}, keys = [] } = settings;
  const { neuronScript, pageFolder, store, settled = true } = settings;
  const lines: string[] = [];
  const logs: Record<string, unknown>[] = [];
  const fatal: string[] = [];
  const running = await serve({
    cortex: v.parse(CortexConfig, {
      ...cortex,
      gateway: {
        listen: "127.0.0.1:0",
        metrics_listen: "127.0.0.1:0",
        log_format: "json",
        log_level: "debug",
        drain_s: 0.2,
        ...cortex.gateway,
      },
      breaker: { failures: 1000, ...cortex.breaker }, // most tests want to see every failure
      poll: { interval_s: 0.05, timeout_s: 2, ...cortex.poll },
      neurons: [
        ...Object.entries(neurons).map(([name, { url }]) => ({ name, endpoint: url })),
        ...Object.entries(servers).map(([name, { url, ...more }]) => ({
          ...{ name, endpoint: url, kind: "openai", ...more },
        })),
      ],
    }),
    models: v.parse(ModelsConfig, models),
    ...{ files: [], version: "1.2.3", keysFile: settings.keysFile ?? writeKeys(keys) },
    print: (line) => lines.push(line),
    write: (line) => logs.push(JSON.parse(line) as Record<string, unknown>),
    onFatal: (message) => fatal.push(message),
    ...(neuronScript !== undefined && { neuronScript }),
    ...(pageFolder !== undefined && { pageFolder }),
    ...(store !== undefined && { store }),
  });
  onTestFinished(() => running.stop());
  if (settled && neuronScript === undefined)
    await until(() => running.gateway.fleet.neurons.every(({ state }) => state !== "starting"));
  return { ...running, lines, logs, fatal };
}

export async function openNeuron(...models: string[]): Promise<MockNeuron> {
  const neuron = await new MockNeuron(...models).listen();
  onTestFinished(() => neuron.kill());
  return neuron;
}

/** A file of keys in a folder of its own. */
export function writeKeys(keys: readonly Key[]): string {
  const folder = mkdtempSync(join(tmpdir(), "cortex-keys-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, "keys.json");
  if (keys.length > 0) writeFileSync(path, JSON.stringify({ keys }));
  return path;
}

/** A key with these grants, and the header that presents it. */
export function keyFor(name: string, grants: Partial<Grants> = {}) {
  const { text, key } = mintKey({ name, admin: false, ...grants });
  return { text, key, headers: { authorization: `Bearer ${text}` } };
}

/** Polls a condition; the test's own time limit ends it. */
export async function until(condition: () => unknown): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 5));
}

export function post(
  gateway: Running,
  body: unknown,
  init: RequestInit & { path?: string } = {},
): Promise<Response> {
  const { path = "/v1/chat/completions", headers, ...rest } = init;
  return fetch(gateway.url + path, {
    method: "POST",
    headers: { "content-type": "application/json", ...(headers as Record<string, string>) },
    body: typeof body === "string" ? body : JSON.stringify(body),
    ...rest,
  });
}

export const chat = { model: "demo", messages: [{ role: "user", content: "Hello" }] };

export async function errorOf(response: Response) {
  const { error } = (await response.json()) as {
    error: { message: string; type: string; code: string; param: unknown };
  };
  return error;
}

/** Samples of one metric: `{model="demo",…}` → value. */
export async function samples(gateway: Running, name: string): Promise<Record<string, number>> {
  const text = await (await fetch(`${gateway.metricsUrl}/metrics`)).text();
  const found = text.split("\n").flatMap((line) => {
    const match = /^([a-z_]+)(\{[^}]*\})? (\S+)$/.exec(line);
    return match && match[1] === name ? [[match[2] ?? "", Number(match[3])] as const] : [];
  });
  return Object.fromEntries(found);
}

export async function unusedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
