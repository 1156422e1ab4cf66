// A daemon over a fake engine, on a real socket.

import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FakeEngine } from "./fake-engine.fixture.ts";
import type { FakeModel } from "./fake-engine.fixture.ts";
import { createLog } from "./log.ts";
import { Models } from "./models.ts";
import type { Fetch } from "./models.ts";
import { buildServer } from "./server.ts";
import type { ServerDeps } from "./server.ts";

/** An answer's JSON, whatever it holds. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type Json = any;

export interface Daemon {
  url: string;
  engine: FakeEngine;
  models: Models;
  model: FakeModel;
  stop: AbortController;
  logged: string[];
  close(): Promise<void>;
}

/** Loads the fake model (of the fake engine, unless a real one is given) as "org/fake" unless `load` is false. */
export async function startDaemon(
  options: Partial<ServerDeps> & { load?: boolean; fetch?: Fetch } = {},
): Promise<Daemon> {
  const engine = options.engine ?? new FakeEngine();
  const models = new Models(
    engine,
    options.fetch ?? (() => Promise.reject(new Error("no hub in this test"))),
  );
  const stop = new AbortController();
  const logged: string[] = [];
  const log = createLog({ level: "debug", json: false }, { write: (line) => logged.push(line) });
  const memory = () => ({ totalMb: 24_000, usedMb: 1000, freeMb: 23_000 });
  const fixed = { keepaliveMs: 10_000, stallMs: 10_000, bodyBytes: 32 * 2 ** 20 };
  const app = buildServer({ ...fixed, engine, models, memory, log, stop: stop.signal, ...options });
  if (options.load !== false) await models.load({ id: "org/fake", source: emptyModelFolder() });
  const url = await app.listen({ port: 0, host: "127.0.0.1" });
  const model = (engine as FakeEngine).next as FakeModel;
  const close = async () => {
    const closed = app.close();
    app.server.closeAllConnections();
    await closed;
  };
  return { url, engine: engine as FakeEngine, models, model, stop, logged, close };
}

/** A folder that passes for a model's until somebody reads it. */
export function emptyModelFolder(name = "model"): string {
  const folder = mkdtempSync(join(tmpdir(), `neuron-${name}-`));
  writeFileSync(join(folder, "config.json"), "{}");
  return folder;
}

export async function json(answer: Response | Promise<Response>): Promise<Json> {
  return (await answer).json();
}

export async function post(url: string, body: unknown, signal?: AbortSignal): Promise<Response> {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  const headers = { "content-type": "application/json" };
  return fetch(url, { method: "POST", headers, body: text, ...(signal ? { signal } : {}) });
}

/** The data of all events of a stream; [DONE] as it is. */
export function events(text: string): Json[] {
  return text
    .split("\n\n")
    .filter((frame) => frame !== "")
    .map((frame) => {
      const line = frame.replace(/^data: /, "");
      return line === "[DONE]" ? line : (JSON.parse(line) as Json);
    });
}
