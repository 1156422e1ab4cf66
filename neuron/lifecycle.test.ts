// A model's life beside its requests: a device that is lost and comes back, unloading while it answers, progress.
import * as v from "valibot";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { EngineError } from "../engine/errors.ts";
import { emptyModelFolder, json, post, startDaemon } from "./daemon.fixture.ts";
import type { Daemon } from "./daemon.fixture.ts";
import { FakeModel, content, finished, started } from "./fake-engine.fixture.ts";
import { Discovery, Health, ModelList, principalHeader } from "./protocol.ts";

let daemon: Daemon;
beforeEach(async () => {
  daemon = await startDaemon();
});
afterEach(async () => {
  await daemon.close();
});

const get = async (path: string) => json(fetch(daemon.url + path));
const ask = () =>
  post(`${daemon.url}/v1/chat/completions`, {
    model: "org/fake",
    messages: [{ role: "user", content: "hi" }],
  });

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 2000 && !condition(); i++) await new Promise((resolve) => setTimeout(resolve, 5));
  expect(condition()).toBe(true);
}

/** An answer that goes on until the test ends it. */
function endless(): () => void {
  let go: () => void = () => undefined;
  daemon.model.script = [started, content("a"), new Promise<void>((resolve) => (go = resolve)), finished()];
  return () => {
    go();
  };
}

function lose(): void {
  daemon.engine.health = { state: "recovering", reason: "it was lost", losses: 1 };
  Object.assign(daemon.model, { state: "recovering", reason: "it was lost" });
}

test("a device that recovers is seen in every status, and its models come back with it", async () => {
  lose();
  const health = v.parse(Health, await get("/health"));
  expect(health.devices).toMatchObject([{ state: "recovering", error: "it was lost", losses: 1 }]);
  expect(health.models).toMatchObject([{ id: "org/fake", status: "recovering", error: "it was lost" }]);
  expect(v.parse(Discovery, await get("/discovery")).devices).toMatchObject([{ state: "recovering" }]);
  expect(v.parse(ModelList, await get("/models"))).toMatchObject([{ status: "recovering" }]);
  expect((await get("/v1/models")).data).toEqual([]);

  daemon.engine.health = { state: "ready", reason: undefined, losses: 1 };
  Object.assign(daemon.model, { state: "ready", reason: undefined });
  expect((await get("/health")).models[0]).not.toHaveProperty("error");
  expect((await get("/health")).models).toMatchObject([{ status: "loaded" }]);
  expect((await ask()).status).toBe(200);
});

test("what a model's memory is used for", async () => {
  expect(v.parse(Health, await get("/health")).models[0]!.memory).toEqual({
    total_bytes: 14 * 2 ** 20 + 1,
    budget_bytes: 2 ** 30,
    parts: [
      { what: "weights", bytes: 10 * 2 ** 20 },
      { what: "KV cache", bytes: 4 * 2 ** 20 + 1 },
    ],
  });
});

test("a request that meets a lost device is told when to come back", async () => {
  daemon.model.script = [new EngineError("device_lost", "it was lost", { retryAfter: 7.2 })];
  const answer = await ask();
  expect([answer.status, answer.headers.get("retry-after")]).toEqual([503, "8"]);
  expect((await json(answer)).error).toMatchObject({ code: "device_lost", message: "it was lost" });
  expect((await get("/health")).models).toMatchObject([{ status: "loaded" }]); // the device says what it is, no request
});

test("a load that finds its model recovering waits for it", async () => {
  lose();
  let back: () => void = () => undefined;
  daemon.engine.recovery = new Promise<void>((resolve) => (back = resolve));
  let loaded = false;
  const loading = post(`${daemon.url}/models/load`, { model_id: "org/fake" }).then((answer) => {
    loaded = true;
    return answer;
  });
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(loaded).toBe(false);
  Object.assign(daemon.model, { state: "ready", reason: undefined });
  back();
  expect((await loading).status).toBe(200);
  expect(daemon.engine.loads.length).toBe(1);
});

test("a model whose device was given up has failed, and is loaded anew on demand", async () => {
  Object.assign(daemon.model, { state: "failed", reason: "given up" });
  expect((await get("/health")).models).toMatchObject([{ status: "failed", error: "given up" }]);
  const refused = await ask();
  expect([refused.status, refused.headers.get("retry-after")]).toEqual([503, "15"]);
  expect((await json(refused)).error).toMatchObject({
    ...{
      code: "device_lost",
      message: 'model "org/fake" is out of service until it is loaded again: given up',
    },
  });
  daemon.engine.next = new FakeModel();
  expect((await post(`${daemon.url}/models/load`, { model_id: "org/fake" })).status).toBe(200);
  expect((await ask()).status).toBe(200);
});

test("a model that does not fit: 422, with the figures for whoever places models", async () => {
  const details = { needed: 9000, available: 7000 };
  daemon.engine.next = new EngineError("out_of_memory", "large does not fit: 1 + 1 = 2", details);
  const answer = await post(`${daemon.url}/models/load`, { model_id: "large", source: emptyModelFolder() });
  expect([answer.status, answer.headers.get("retry-after")]).toEqual([422, null]);
  expect((await json(answer)).error).toEqual({
    ...{ message: "large does not fit: 1 + 1 = 2", type: "invalid_request_error", code: "out_of_memory" },
    ...{ param: null, needed_bytes: 9000, available_bytes: 7000 },
  });
});

const unload = (body: object) => post(`${daemon.url}/models/unload`, { model_id: "org/fake", ...body });

test("an unload that waits lets answers end, and nothing new begin", async () => {
  const go = endless();
  const running = ask();
  await until(() => daemon.model.load.running === 1);
  const unloading = unload({ wait_s: 20 });
  await until(() => daemon.models.list()[0]!.status === "unloading");
  expect((await ask()).status).toBe(404);
  expect(daemon.model.unloaded).toBe(false);
  go();
  expect((await json(running)).choices[0].message.content).toBe("a");
  expect((await unloading).status).toBe(200);
  expect(daemon.model.unloaded).toBe(true);
});

test("a wait that is too short: refused and the model goes on, or forced", async () => {
  const go = endless();
  const running = ask();
  await until(() => daemon.model.load.running === 1);
  const refused = await unload({ wait_s: 0.06 });
  expect([refused.status, (await json(refused)).error.message]).toEqual([
    409,
    'model "org/fake" has 1 requests after 0.06 s; wait, or unload with force',
  ]);
  expect(daemon.models.list()).toMatchObject([{ status: "loaded" }]);
  expect((await unload({ wait_s: 0.06, force: true })).status).toBe(200);
  expect((await running).status).toBe(503);
  go();
});

test("the pace of a load tells its end", async () => {
  vi.useFakeTimers({ toFake: ["performance"] });
  try {
    const { engine, models } = daemon;
    const seen: unknown[] = [];
    engine.load = async (_folder, _options, onProgress) => {
      for (const bytes of [100, 150, 300, 700]) {
        onProgress!({ phase: "reading", bytes, totalBytes: 1100, tensors: 1, totalTensors: 2 });
        seen.push(models.list().find(({ id }) => id === "slow")!.loading.eta_secs);
        vi.advanceTimersByTime(400);
      }
      return new FakeModel();
    };
    await models.load({ id: "slow", source: emptyModelFolder() });
    // 200 bytes in 0.8 s leave 800: 3.2 s; 600 in 1.2 s leave 400: 0.8 s
    expect(seen).toEqual([null, null, 3.2, 0.8]);
  } finally {
    vi.useRealTimers();
  }
});

test("the engine hears on whose behalf a request comes", async () => {
  const body = { model: "org/fake", messages: [{ role: "user", content: "hi" }], prompt: "hi" };
  for (const path of ["/v1/chat/completions", "/v1/completions"]) {
    for (const principal of ["ada", ""]) {
      const headers = { "content-type": "application/json", [principalHeader]: principal };
      await (await fetch(daemon.url + path, { method: "POST", headers, body: JSON.stringify(body) })).text();
    }
  }
  expect(daemon.model.asked.map((asked) => asked.principal)).toEqual(["ada", undefined, "ada", undefined]);
});
