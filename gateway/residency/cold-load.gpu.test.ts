// A real neuron with memory for one model, and the demo model under two names: a streaming client sees the one make room
// for the other.

import { spawn, type ChildProcess } from "node:child_process";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openGateway, post, samples } from "../fixtures/gateway.fixture.ts";
import type { MockNeuron } from "../fixtures/mock-neuron.fixture.ts";

const root = join(import.meta.dirname, "../..");
/** MiB: the demo model is promised 158, 128 of them for pictures that are kept. */
const memoryForOne = "250";

let daemon: ChildProcess;
let url: string;
let log = "";

beforeAll(async () => {
  const hook = join(root, "test-fixtures/typescript.mjs");
  const args = ["--port", "0", "--adapter", process.env["NEURON_TEST_ADAPTER"]!];
  daemon = spawn(process.execPath, ["--import", hook, join(root, "neuron/main.ts"), ...args], {
    stdio: ["ignore", "ignore", "pipe"],
    env: { ...process.env, NEURON_MEMORY_LIMIT_MB: memoryForOne },
  });
  url = await new Promise<string>((resolve, reject) => {
    daemon.stderr!.on("data", (data) => {
      log += String(data);
      const listens = /listening on (http:[^\s,]+)/.exec(log);
      if (listens) resolve(listens[1]!);
    });
    daemon.once("close", (code) => reject(new Error(`it ended with ${code}: ${log}`)));
  });
}, 240_000);

afterAll(async () => {
  const closed = new Promise((resolve) => daemon.once("close", resolve));
  daemon.kill("SIGTERM");
  await closed;
});

const ask = (model: string, max_tokens: number) => ({
  ...{ model, max_tokens, stream: true, temperature: 0 },
  messages: [{ role: "user", content: "What is the capital of France?" }],
});

/** The text that a stream says, and how it ends. */
function said(stream: string) {
  const chunks = stream
    .split("\n\n")
    .filter((frame) => frame.startsWith("data: {"))
    .map(
      (frame) =>
        JSON.parse(frame.slice(6)) as { choices: { delta: { content?: string }; finish_reason: unknown }[] },
    );
  const choices = chunks.flatMap((chunk) => chunk.choices);
  return {
    text: choices.map(({ delta }) => delta.content ?? "").join(""),
    end: choices.map(({ finish_reason }) => finish_reason).findLast((reason) => reason !== null),
    done: stream.trimEnd().endsWith("data: [DONE]"),
  };
}

test("one model makes room for the other, seen by streaming clients", async () => {
  const gateway = await openGateway({
    neurons: { real: { url } as MockNeuron },
    models: { models: ["first", "second"].map((id) => ({ id, source: "demo" })) },
    cortex: {
      gateway: { keepalive_s: 0.1 },
      poll: { interval_s: 0.2, loading_interval_s: 0.1, timeout_s: 30 },
    },
  });
  const cold = await post(gateway, ask("first", 40));
  expect(cold.status).toBe(200);
  const both = cold.text();
  const other = await (await post(gateway, ask("second", 40))).text();
  const first = await both;
  expect(first).toMatch(/^: loading first/m);
  expect(said(first)).toEqual({ text: "The capital of France is Paris.", end: "stop", done: true });
  expect(other).toMatch(/^: (waiting|making room) for second/m);
  expect(other).toMatch(/^: loading second/m);
  expect(said(other)).toEqual(said(first));
  expect(await samples(gateway, "cortex_evictions_total")).toEqual({
    '{model="first",neuron="real",reason="room"}': 1,
  });
  const models = (await (await fetch(`${url}/models`)).json()) as { id: string; status: string }[];
  expect(models.map(({ id, status }) => [id, status])).toEqual([["second", "loaded"]]);

  expect((await post(gateway, {}, { path: "/api/neurons/real/restart" })).status).toBe(200);
  expect(said(await (await post(gateway, ask("second", 40))).text())).toEqual(said(first));
}, 300_000);
