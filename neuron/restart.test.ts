// Starting the device anew on request, and how long a model has been idle: what the gateway's upkeep asks for.
import { afterEach, beforeEach, expect, test } from "vitest";
import { emptyModelFolder, json, post, startDaemon } from "./daemon.fixture.ts";
import type { Daemon } from "./daemon.fixture.ts";
import { content, finished, started } from "./fake-engine.fixture.ts";

let daemon: Daemon;
beforeEach(async () => {
  daemon = await startDaemon();
});
afterEach(() => daemon.close());

const restart = (body: object = {}) => post(`${daemon.url}/restart`, body);
const idleSecs = async () => (await json(fetch(`${daemon.url}/health`))).models[0].idle_secs as number;

/** A request that goes on until the returned function is called. */
async function ask(): Promise<() => Promise<unknown>> {
  let go = () => {};
  daemon.model.script = [started, content("a"), new Promise<void>((resolve) => (go = resolve)), finished()];
  const body = { model: "org/fake", messages: [{ role: "user", content: "hi" }] };
  const answer = post(`${daemon.url}/v1/chat/completions`, body);
  while (daemon.model.load.running === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  return () => {
    go();
    return answer;
  };
}

test("the device is started anew when nothing runs; while a request does only by force", async () => {
  expect(await json(restart())).toEqual({ status: "restarted" });
  const end = await ask();
  const refused = await restart();
  expect([refused.status, (await json(refused)).error.code]).toEqual([409, "model_busy"]);
  expect(daemon.engine.restarts).toBe(1);
  expect((await restart({ force: true })).status).toBe(200);
  expect(daemon.engine.restarts).toBe(2);
  await end();
  expect((await restart({ how: 1 })).status).toBe(400);
});

test("not in the middle of a load, whatever is asked", async () => {
  let open = () => {};
  daemon.engine.gate = new Promise<void>((resolve) => (open = resolve));
  const load = post(`${daemon.url}/models/load`, { model_id: "other", source: emptyModelFolder() });
  while (daemon.engine.loads.length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
  expect((await restart({ force: true })).status).toBe(409);
  expect(daemon.engine.restarts).toBe(0);
  open();
  await load;
  expect((await restart()).status).toBe(200);
});

test("idle since the load, not while a request runs, then since its end", async () => {
  await new Promise((resolve) => setTimeout(resolve, 350));
  expect(await idleSecs()).toBeGreaterThanOrEqual(0.3);
  const end = await ask();
  expect(await idleSecs()).toBe(0);
  await end();
  expect(await idleSecs()).toBeLessThan(0.3);
});
