// What fails on a device, on purpose and at a chosen step: who is told what, and that the right tokens come afterwards.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test, vi } from "vitest";
import { demoModel } from "../../test-fixtures/golden.ts";
import { openEngine, type EngineOptions } from "./engine.ts";
import type { ChatMessage, DeviceHealth, Engine, Model, TextEvent } from "./types.ts";

vi.setConfig({ testTimeout: 240_000 }); // the model is read, and its kernels compiled, at least twice

interface DemoCase {
  id: string;
  messages: ChatMessage[];
  content: string;
  output_ids: number[];
}

const file = join(demoModel, "../golden/cases.json");
const { cases } = JSON.parse(readFileSync(file, "utf8")) as { cases: DemoCase[] };
const known = cases.find(({ id }) => id === "counting-1")!;
const never = new AbortController().signal;

const open: Engine[] = [];
let healths: DeviceHealth[];
afterEach(async () => {
  await Promise.all(open.splice(0).map((engine) => engine.close()));
});

async function start(faults: string, options: EngineOptions = {}): Promise<Engine> {
  const adapter = process.env["NEURON_TEST_ADAPTER"];
  const engine = await openEngine({ adapter, faults, ...options });
  open.push(engine);
  healths = [];
  engine.onChange = (health) => healths.push(health);
  return engine;
}

const load = (engine: Engine) => engine.load(demoModel, { contextLength: 512, maxInFlight: 2 });

async function ask(model: Model): Promise<string> {
  const options = { temperature: 0, maxTokens: 60 };
  const events: TextEvent[] = [];
  const request = { messages: known.messages, templateArguments: { enable_thinking: false }, options };
  for await (const event of model.chat(request, never)) events.push(event);
  return events.map((event) => (event.type === "content" ? event.text : "")).join("");
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** All that ran has failed in the same way, the device comes back, and then it says what it should, where it is `asked`. */
async function expectRecovery(engine: Engine, model: Model, message: RegExp, asked = true): Promise<void> {
  const { losses } = engine.health;
  healths = [];
  const running = [ask(model), ask(model), ask(model)];
  const failure = {
    code: "device_lost",
    message: expect.stringMatching(message) as string,
    details: { retryAfter: expect.any(Number) as number },
  };
  await Promise.all(running.map((answer) => expect(answer).rejects.toMatchObject(failure)));
  expect(model.state).toBe("recovering");
  expect(model.load).toEqual({ running: 0, waiting: 0 });
  await expect(ask(model)).rejects.toMatchObject({
    code: "device_lost",
    message: expect.stringContaining("recovering") as string,
  });
  await until(() => engine.health.state !== "recovering");
  expect(healths.map(({ state }) => state)).toEqual(["recovering", "ready"]);
  expect(engine.health).toEqual({ state: "ready", reason: undefined, losses: losses + 1 });
  expect([model.state, model.reason]).toEqual(["ready", undefined]);
  if (asked) expect(await Promise.all([ask(model), ask(model)])).toEqual([known.content, known.content]);
}

test("lost in prefill, lost in decode, a crash: what runs fails, and the device comes back each time", async () => {
  const faults = "lost@prefill:2 lost@decode:5#2 crash@decode:3#3";
  const engine = await start(faults, { restarts: { delaysMs: [0, 0, 0], windowMs: 60_000 } });
  const model = await load(engine);
  await expectRecovery(engine, model, /was lost: .*cut off and may be sent again/, false);
  await expectRecovery(engine, model, /was lost/, false);
  await expectRecovery(engine, model, /thread failed: Error: an injected crash; the request was cut off/);
});

test("a step that hangs is a lost device; another engine beside it goes on", async () => {
  const beside = await start("");
  const untouched = await load(beside);
  const engine = await start("hang@decode:4", { stepLimitMs: 8000 });
  const model = await load(engine);
  const other = ask(untouched);
  await expectRecovery(engine, model, /a step did not end within 8 s/);
  expect(await other).toBe(known.content);
  expect(beside.health).toEqual({ state: "ready", reason: undefined, losses: 0 });
  expect(await ask(untouched)).toBe(known.content);
});

test("a bug is no fault of the device: it fails what ran, and nothing is read again", async () => {
  const engine = await start("bug@decode:3");
  const model = await load(engine);
  await expect(ask(model)).rejects.toMatchObject({ code: "internal" });
  expect(engine.health).toEqual({ state: "ready", reason: undefined, losses: 0 });
  expect(await ask(model)).toBe(known.content);
  expect(healths).toEqual([]);
});

test("no memory at load: the load is refused, and the next one succeeds", async () => {
  const engine = await start("memory@load:1");
  await expect(load(engine)).rejects.toMatchObject({ code: "out_of_memory" });
  expect(engine.health.losses).toBe(0);
  expect(await ask(await load(engine))).toBe(known.content);
});

test("a device that is lost at every reading is given up; a load tries once more", async () => {
  const engine = await start("lost@load:2*", { restarts: { delaysMs: [0, 20], windowMs: 60_000 } });
  const model = await load(engine); // the first reading of each life is let through
  await expect(load(engine)).rejects.toMatchObject({ code: "device_lost" });
  await until(() => engine.health.state !== "recovering");
  expect(engine.health).toMatchObject({ state: "ready", losses: 1 });
  await expect(load(engine)).rejects.toMatchObject({ code: "device_lost" });
  await until(() => engine.health.state !== "recovering");
  await expect(load(engine)).rejects.toMatchObject({ code: "device_lost" });
  await until(() => engine.health.state !== "recovering");
  expect(engine.health).toMatchObject({ state: "failed", losses: 3 });
  expect(model.state).toBe("failed");
  await expect(ask(model)).rejects.toMatchObject({ code: "device_lost", details: { retryAfter: 15 } });
  expect(await ask(await load(engine))).toBe(known.content);
  expect(engine.health.state).toBe("ready");
});

test("restarted on request, its models are read again", async () => {
  const engine = await start("");
  const model = await load(engine);
  await engine.restart();
  expect(healths.map(({ state }) => state)).toEqual(["recovering", "ready"]);
  expect(await ask(model)).toBe(known.content);
  await engine.close();
  expect(healths.length).toBe(2); // an end that was asked for is no loss
});

test("a disk that hangs costs its load, a device that hangs is lost; closing while it recovers leaves no thread", async () => {
  const engine = await start("hang@read:3 hang@upload:1", { loadLimitMs: 4000 });
  await expect(load(engine)).rejects.toMatchObject({
    code: "load_stalled",
    message: expect.stringMatching(/given up after 4 s without progress in reading /) as string,
  });
  expect(engine.health.losses).toBe(0);
  await expect(load(engine)).rejects.toMatchObject({
    code: "device_lost",
    message: expect.stringContaining("it did nothing for 4 s while") as string,
  });
  expect(engine.health).toMatchObject({ state: "recovering", losses: 1 });
  await engine.close();
  await expect(load(engine)).rejects.toMatchObject({ code: "device_lost" });
});
