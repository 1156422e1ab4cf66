// Models that come into the fleet by requests for them: mock neurons with memory, load times and failures, real sockets.

import { expect, test } from "vitest";
import {
  chat,
  errorOf,
  openGateway,
  post,
  samples,
  until,
  type Settings,
} from "../fixtures/gateway.fixture.ts";
import type { Keeper } from "../fixtures/lifecycle.fixture.ts";
import { openKeeper, poll } from "../fixtures/lifecycle.fixture.ts";
import { delta, done, finish, openStream, role } from "../fixtures/mock-neuron.fixture.ts";

function open(keepers: Record<string, Keeper>, ids: (string | object)[], cortex: Settings["cortex"] = {}) {
  const neurons = Object.fromEntries(Object.entries(keepers).map(([name, { neuron }]) => [name, neuron]));
  const models = { models: ids.map((id) => (typeof id === "string" ? { id } : id)) };
  return openGateway({ neurons, models, cortex: { poll, ...cortex } });
}

const ask = (model: string) => ({ ...chat, model });
const gatedBy = (keeper: Keeper) => {
  let go = () => {};
  keeper.gate = new Promise<void>((resolve) => (go = resolve));
  return () => go();
};

test("a request for a model of the catalogue loads it, with what the catalogue says of it", async () => {
  const a = await openKeeper(100);
  const entry = { id: "m", source: "org/m@main", quant: "q4_0", context_length: 4096 };
  const gateway = await open({ a }, [entry]);
  expect((await post(gateway, ask("m"))).status).toBe(200);
  expect(a.told).toEqual(["load m"]);
  expect(a.bodies[0]).toEqual({ model_id: "m", source: "org/m@main", quant: "q4_0", context_length: 4096 });
  expect(await samples(gateway, "cortex_cold_starts_total")).toEqual({ '{model="m",neuron="a"}': 1 });
  expect(await samples(gateway, "cortex_load_duration_seconds_count")).toEqual({
    '{model="m",neuron="a"}': 1,
  });
  expect((await post(gateway, ask("m"))).status).toBe(200);
  expect(a.told).toEqual(["load m"]);
  expect(await samples(gateway, "cortex_cold_starts_total")).toEqual({ '{model="m",neuron="a"}': 1 });
});

test("thirty requests at once are one load, and all are answered", async () => {
  const a = await openKeeper(100);
  const gateway = await open({ a }, ["m"]);
  const go = gatedBy(a);
  const sent = Array.from({ length: 30 }, () => post(gateway, ask("m")));
  await until(async () => (await samples(gateway, "cortex_requests_waiting_for_load"))[""] === 30);
  const report = (await (await fetch(`${gateway.url}/api/fleet`)).json()) as { loads: object[] };
  expect(report.loads).toMatchObject([{ model: "m", neuron: "a", phase: "loading", waiting: 30 }]);
  go();
  expect((await Promise.all(sent)).map(({ status }) => status)).toEqual(Array(30).fill(200));
  expect(a.told).toEqual(["load m"]);
});

test("a load that fails is told to all who wait, without the neuron's words, and not begun again at once", async () => {
  const a = await openKeeper(100);
  a.refusals.set("m", { status: 422, code: "bad_checkpoint" });
  const gateway = await open({ a }, ["m"]);
  const answers = await Promise.all(Array.from({ length: 5 }, () => post(gateway, ask("m"))));
  for (const answer of answers) {
    expect([answer.status, answer.headers.get("x-should-retry")]).toEqual([502, "false"]);
    expect(await errorOf(answer)).toMatchObject({
      code: "model_load_failed",
      message: "The model 'm' could not be loaded: its files are damaged or incomplete.",
    });
  }
  expect((await post(gateway, ask("m"))).status).toBe(502);
  expect(a.told).toEqual(["load m"]);
  expect(await samples(gateway, "cortex_load_failures_total")).toEqual({
    '{model="m",neuron="a",code="bad_checkpoint"}': 1,
  });
  const log = gateway.logs.find(({ event }) => event === "load failed");
  expect(log).toMatchObject({ model: "m", neuron: "a", reason: "/secret/path" });
});

test("a failure that may pass says when to come back", async () => {
  const a = await openKeeper(100);
  a.refusals.set("m", { status: 503, code: "download_failed" });
  const gateway = await open({ a }, ["m"]);
  const answer = await post(gateway, ask("m"));
  expect([answer.status, answer.headers.get("retry-after")]).toEqual([503, "3"]);
  expect((await errorOf(answer)).message).toMatch(/its files could not be downloaded/);
});

test("a neuron that cannot load it is followed by one that can", async () => {
  const [a, b] = [await openKeeper(200), await openKeeper(100)];
  a.refusals.set("m", { status: 503, code: "device_lost" });
  const gateway = await open({ a, b }, ["m"]);
  const answer = await post(gateway, ask("m"));
  expect([answer.status, answer.headers.get("x-cortex-neuron")]).toEqual([200, "b"]);
  expect([a.told, b.told]).toEqual([["load m"], ["load m"]]);
});

test("a neuron that dies in the middle of a load: the others go on, the model is loaded elsewhere", async () => {
  const [a, b] = [await openKeeper(200), await openKeeper(100)];
  const gateway = await open({ a, b }, ["m"]);
  gatedBy(a);
  const sent = [post(gateway, ask("m")), post(gateway, ask("m"))];
  await until(() => a.told.length === 1);
  await a.neuron.kill();
  for (const answer of await Promise.all(sent)) expect(answer.headers.get("x-cortex-neuron")).toBe("b");
});

test("what does not fit beside the others makes room: the one not used for longest goes", async () => {
  const a = await openKeeper(100, { old: 40, new: 40, m: 50 }, "old", "new");
  const gateway = await open({ a }, ["old", "new", { id: "m", vram_mb: 50 }]);
  await post(gateway, ask("old"));
  await post(gateway, ask("new"));
  expect((await post(gateway, ask("m"))).status).toBe(200);
  expect(a.told).toEqual(["unload old", "load m"]);
  expect(await samples(gateway, "cortex_evictions_total")).toEqual({
    '{model="old",neuron="a",reason="room"}': 1,
  });
  const { happenings } = (await (await fetch(`${gateway.url}/api/fleet`)).json()) as { happenings: object[] };
  expect(happenings).toMatchObject([
    { what: "loaded", model: "m", neuron: "a" },
    { what: "unloaded", model: "old", neuron: "a", reason: "for m" },
  ]);
});

test.each([
  ["lru", "unload dear"],
  ["priority", "unload cheap"],
])("strategy %s: %s", async (strategy, told) => {
  const a = await openKeeper(100, { cheap: 45, dear: 45, m: 50 }, "cheap", "dear");
  const ids = [
    { id: "cheap", residency_priority: 10 },
    { id: "dear", residency_priority: 90 },
  ];
  const gateway = await open({ a }, [...ids, { id: "m", vram_mb: 50 }], { eviction: { strategy } });
  await post(gateway, ask("dear"));
  await post(gateway, ask("cheap"));
  expect((await post(gateway, ask("m"))).status).toBe(200);
  expect(a.told).toEqual([told, "load m"]);
});

test("pinned and dearer models stay, and the client is told that there is no room", async () => {
  const a = await openKeeper(100, { pinned: 45, dear: 45 }, "pinned", "dear");
  const ids = [
    { id: "pinned", pinned_on: ["a"] },
    { id: "dear", residency_priority: 101 },
  ];
  const gateway = await open({ a }, [...ids, { id: "m", vram_mb: 50 }]);
  const answer = await post(gateway, ask("m"));
  expect([answer.status, answer.headers.get("retry-after")]).toEqual([503, "10"]);
  expect((await errorOf(answer)).code).toBe("no_room");
  expect(a.told).toEqual([]);
});

test("what no neuron can hold is refused at once, and not to be asked again", async () => {
  const a = await openKeeper(100);
  const gateway = await open({ a }, [{ id: "m", vram_mb: 101 }]);
  const answer = await post(gateway, ask("m"));
  expect([answer.status, answer.headers.get("x-should-retry")]).toEqual([503, "false"]);
  expect((await errorOf(answer)).code).toBe("no_feasible_neuron");
});

test("a model at work is not unloaded under its requests: they end first, and new ones wait behind", async () => {
  const a = await openKeeper(100, { old: 60, m: 60 }, "old");
  let end = () => {};
  const held = new Promise<void>((resolve) => (end = resolve));
  a.neuron.answer = async ({ body }, response) => {
    const { model } = JSON.parse(body) as { model: string };
    openStream(response);
    response.write(role + delta(model));
    if (model === "old") await held;
    response.end(finish + done);
  };
  const gateway = await open({ a }, ["old", { id: "m", vram_mb: 60 }]);
  const running = post(gateway, { ...ask("old"), stream: true });
  await until(() => a.neuron.requests.length === 1);
  const waits = post(gateway, ask("m"));
  await until(() => gateway.gateway.fleet.neuron("a").models[0]?.use.leaving === "eviction");
  const behind = post(gateway, ask("old"));
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(a.told).toEqual([]);
  expect(a.neuron.requests.length).toBe(1);
  end();
  expect(await (await running).text()).toContain('"old"');
  expect((await waits).status).toBe(200);
  expect((await behind).status).toBe(200); // and comes back in its turn
  expect(a.told).toEqual(["unload old", "load m", "unload m", "load old"]);
  expect(a.neuron.requests.map(({ body }) => (JSON.parse(body) as { model: string }).model)).toEqual([
    ...["old", "m", "old"],
  ]);
});

test("another gateway's request keeps a model where it is until it has ended", async () => {
  const a = await openKeeper(100, { old: 60, m: 60 }, "old");
  a.busy("old", 1);
  const gateway = await open({ a }, ["old", { id: "m", vram_mb: 60 }]);
  const waits = post(gateway, ask("m"));
  await until(() => gateway.gateway.residency.loads.report()[0]?.phase === "making room");
  await new Promise((resolve) => setTimeout(resolve, 150));
  expect(a.told).toEqual([]);
  a.busy("old", 0);
  expect((await waits).status).toBe(200);
  expect(a.told).toEqual(["unload old", "load m"]);
});

test("a model that does not become idle in time stays, serves again, and who waited is told", async () => {
  const a = await openKeeper(100, { old: 60, m: 60 }, "old");
  a.busy("old", 1);
  const gateway = await open({ a }, ["old", { id: "m", vram_mb: 60 }], { eviction: { drain_s: 0.3 } });
  const answer = await post(gateway, ask("m"));
  expect([answer.status, (await errorOf(answer)).code]).toEqual([503, "no_room"]);
  expect((await post(gateway, ask("old"))).status).toBe(200);
  expect(a.told).toEqual([]);
});

test("two models on one neuron are loaded one after another, in the order of asking", async () => {
  const a = await openKeeper(100);
  const gateway = await open({ a }, ["x", "y", "z"]);
  const answers = [];
  for (const model of ["y", "x", "z"]) {
    answers.push(post(gateway, ask(model)));
    await until(() =>
      gateway.gateway.residency.loads.report().some((load) => load.model === model && load.neuron),
    );
  }
  for (const answer of answers) expect((await answer).status).toBe(200);
  expect([a.most, a.told]).toEqual([1, ["load y", "load x", "load z"]]);
});

test("who has waited is served before the model may go again", async () => {
  const a = await openKeeper(100, { x: 60, y: 60 });
  const gateway = await open({ a }, [
    { id: "x", vram_mb: 60 },
    { id: "y", vram_mb: 60 },
  ]);
  const answers = Array.from({ length: 8 }, (_, i) => post(gateway, ask(i % 2 ? "y" : "x")));
  expect((await Promise.all(answers)).map(({ status }) => status)).toEqual(Array(8).fill(200));
  expect(a.told.length).toBeLessThanOrEqual(5); // four loads at most would be one for every two; here one for each
});

test("when the neuron knows better that there is no room, models go until it fits", async () => {
  const a = await openKeeper(100, { x: 40, y: 40, m: 90 }, "x", "y");
  const gateway = await open({ a }, ["x", "y", "m"]); // nobody knows what m takes
  await post(gateway, ask("x"));
  await post(gateway, ask("y"));
  expect((await post(gateway, ask("m"))).status).toBe(200);
  expect(a.told).toEqual(["load m", "unload x", "load m", "unload y", "load m"]);
  expect(await samples(gateway, "cortex_load_failures_total")).toEqual({}); // it was loaded in the end
});

test("but before anything goes, another neuron is asked that seems to have the room", async () => {
  const [a, b] = [await openKeeper(300, { x: 60 }, "x"), await openKeeper(100, { m: 60 })];
  a.refusals.set("m", { status: 422, code: "out_of_memory" }); // held to less than its device has
  const gateway = await open({ a, b }, ["x", "m"]);
  const answer = await post(gateway, ask("m"));
  expect([answer.status, answer.headers.get("x-cortex-neuron")]).toEqual([200, "b"]);
  expect([a.told, b.told]).toEqual([["load m"], ["load m"]]);
  expect(await samples(gateway, "cortex_evictions_total")).toEqual({});
});

test("and where that has none either, models go on the first one after all", async () => {
  const [a, b] = [await openKeeper(100, { x: 60, m: 60 }, "x"), await openKeeper(8, { m: 60 })];
  const gateway = await open({ a, b }, ["x", "m"]); // nobody knows what m takes
  await post(gateway, ask("x"));
  const answer = await post(gateway, ask("m"));
  expect([answer.status, answer.headers.get("x-cortex-neuron")]).toEqual([200, "a"]);
  expect(a.told.slice(-3)).toEqual(["load m", "unload x", "load m"]);
});

test("and as many at once as the neuron says that it lacks", async () => {
  const a = await openKeeper(100, { x: 40, y: 40, m: 90 }, "x", "y");
  a.refusals.set("m", {
    status: 422,
    code: "out_of_memory",
    needed_bytes: 90 * 2 ** 20,
    available_bytes: 20 * 2 ** 20,
  });
  const gateway = await open({ a }, ["x", "y", "m"]);
  const answer = post(gateway, ask("m"));
  await until(() => a.told.includes("unload y"));
  a.refusals.delete("m");
  expect((await answer).status).toBe(200);
  expect(a.told.slice(0, 3)).toEqual(["load m", "unload x", "unload y"]);
});

test("too large for the device by the neuron's own figures: nothing is unloaded in vain", async () => {
  const a = await openKeeper(100, { x: 40 }, "x");
  a.refusals.set("m", {
    status: 422,
    code: "out_of_memory",
    needed_bytes: 150 * 2 ** 20,
    available_bytes: 60 * 2 ** 20,
  });
  const gateway = await open({ a }, ["x", "m"]);
  expect((await errorOf(await post(gateway, ask("m")))).message).toMatch(/does not fit the memory/);
  expect(a.told).toEqual(["load m"]);
});

test("what has a higher priority makes no room, whoever knows better, and the client is told to come again", async () => {
  const a = await openKeeper(100, { x: 60, m: 60 }, "x");
  const gateway = await open({ a }, [{ id: "x", residency_priority: 200 }, "m"]); // nobody knows what m takes
  const answer = await post(gateway, ask("m"));
  expect([answer.status, answer.headers.get("retry-after")]).toEqual([503, "10"]);
  expect(await errorOf(answer)).toMatchObject({
    code: "no_room",
    message: expect.stringMatching(/higher priority/) as string,
  });
  expect(a.told).toEqual(["load m"]);
  expect(await samples(gateway, "cortex_load_failures_total")).toEqual({
    '{model="m",neuron="a",code="out_of_memory"}': 1,
  });
});

test("a load that nobody waits for any more is not begun; one that was begun goes on", async () => {
  const a = await openKeeper(100, { old: 60, m: 60 }, "old");
  a.busy("old", 1);
  const gateway = await open({ a }, ["old", { id: "m", vram_mb: 60 }, "n"]);
  const hangUp = new AbortController();
  const gone = post(gateway, ask("m"), { signal: hangUp.signal }).catch(() => "gone");
  await until(() => gateway.gateway.residency.loads.report()[0]?.phase === "making room");
  hangUp.abort();
  expect(await gone).toBe("gone");
  await until(() => gateway.gateway.residency.loads.report().length === 0);
  expect((await post(gateway, ask("old"))).status).toBe(200); // serves as before
  a.busy("old", 0);
  const go = gatedBy(a);
  const late = new AbortController();
  const left = post(gateway, ask("n"), { signal: late.signal }).catch(() => "gone");
  await until(() => a.told.includes("load n"));
  late.abort();
  expect(await left).toBe("gone");
  go();
  await until(() => a.neuron.models.get("n")?.status === "loaded");
  expect(a.told).toEqual(["load n"]);
});

test("a model that a neuron loads by itself is waited for, not loaded again", async () => {
  const [a, b] = [await openKeeper(100), await openKeeper(100)];
  a.neuron.models.set("m", { status: "loading", vram_used_mb: null });
  const gateway = await open({ a, b }, ["m"]);
  const answer = post(gateway, ask("m"));
  await until(() => gateway.gateway.residency.loads.waiting === 1);
  a.put("m");
  expect((await answer).headers.get("x-cortex-neuron")).toBe("a");
  expect([a.told, b.told]).toEqual([[], []]);
});

test("a model outside the catalogue that was unloaded comes back, by the neuron that knows its source", async () => {
  const [a, b] = [await openKeeper(100, { demo: 60, m: 60 }, "demo"), await openKeeper(50)];
  const gateway = await open({ a, b }, [{ id: "m", vram_mb: 60 }]);
  expect((await post(gateway, ask("m"))).status).toBe(200);
  expect((await post(gateway, ask("demo"))).status).toBe(200);
  expect(a.told).toEqual(["unload demo", "load m", "unload m", "load demo"]);
  expect(a.bodies.at(-1)).toEqual({ model_id: "demo" });
});

test("loading.on_demand = false: requests load nothing", async () => {
  const a = await openKeeper(100);
  const gateway = await open({ a }, ["m"], { loading: { on_demand: false } });
  expect((await post(gateway, ask("m"))).status).toBe(404);
  expect(a.told).toEqual([]);
});

test("a neuron that has just lost the model gets it back, unseen by the client", async () => {
  const a = await openKeeper(100, {}, "m");
  const gateway = await open({ a }, ["m"], { poll: { ...poll, interval_s: 30 } });
  a.neuron.models.delete("m");
  let asked = 0;
  const usual = a.neuron.answer;
  a.neuron.answer = (request, response) => {
    if (++asked > 1) return usual(request, response);
    response.writeHead(404, { "content-type": "application/json" });
    response.end(
      JSON.stringify({ error: { message: "gone", type: "x", code: "model_not_found", param: null } }),
    );
  };
  expect((await post(gateway, ask("m"))).status).toBe(200);
  expect([a.told, asked]).toEqual([["load m"], 2]);
});
