// Two gateways in front of the same neurons, with one store between them.

import { expect, test } from "vitest";
import { chat, errorOf, openGateway, post, until } from "../fixtures/gateway.fixture.ts";
import { Leases } from "./leases.ts";
import type { Keeper } from "../fixtures/lifecycle.fixture.ts";
import { openKeeper } from "../fixtures/lifecycle.fixture.ts";
import { createLog } from "../telemetry/log.ts";
import { MemoryStore } from "../store/store.ts";

// The view that a gateway has of the neurons is as old as its last poll: long, so that only the store can tell.
const poll = { interval_s: 30, loading_interval_s: 0.05, timeout_s: 2 };
const ask = (model: string) => ({ ...chat, model });

async function openTwo(keepers: Record<string, Keeper>, ids: object[], store = new MemoryStore()) {
  const neurons = Object.fromEntries(Object.entries(keepers).map(([name, { neuron }]) => [name, neuron]));
  const settings = { neurons, models: { models: ids }, cortex: { poll }, store };
  return [await openGateway(settings), await openGateway(settings)] as const;
}

test("what two gateways want at the same time is one load, and both answer", async () => {
  const [a, b] = [await openKeeper(100), await openKeeper(100)];
  const [one, two] = await openTwo({ a, b }, [{ id: "m" }]);
  const sent = Array.from({ length: 12 }, (_, i) => post(i % 2 ? one : two, ask("m")));
  expect((await Promise.all(sent)).map(({ status }) => status)).toEqual(Array(12).fill(200));
  expect([...a.told, ...b.told]).toEqual(["load m"]);
});

test("the failure of one gateway's load is told by both, and neither tries again at once", async () => {
  const a = await openKeeper(100);
  a.refusals.set("m", { status: 422, code: "bad_checkpoint" });
  const [one, two] = await openTwo({ a }, [{ id: "m" }]);
  for (const answer of await Promise.all([post(one, ask("m")), post(two, ask("m"))]))
    expect((await errorOf(answer)).code).toBe("model_load_failed");
  expect((await post(two, ask("m"))).status).toBe(502);
  expect(a.told).toEqual(["load m"]);
});

test("one gateway makes room: the other sends nothing more to the model that goes", async () => {
  const a = await openKeeper(100, { old: 60, m: 60 }, "old");
  const [one, two] = await openTwo({ a }, [{ id: "old" }, { id: "m", vram_mb: 60 }]);
  a.busy("old", 1);
  await one.gateway.refresh("a");
  const makesRoom = post(one, ask("m"));
  await until(() => two.gateway.fleet.neuron("a").models[0]!.use.leaving === "eviction");
  const waits = post(two, ask("old"));
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect([a.neuron.requests.length, a.told]).toEqual([0, []]);
  a.busy("old", 0);
  expect((await makesRoom).status).toBe(200);
  expect((await waits).status).toBe(200);
  expect(a.told).toEqual(["unload old", "load m", "unload m", "load old"]);
});

test("two gateways that need room on one neuron take turns", async () => {
  const a = await openKeeper(100, { x: 60, y: 60 });
  const ids = [
    { id: "x", vram_mb: 60 },
    { id: "y", vram_mb: 60 },
  ];
  const [one, two] = await openTwo({ a }, ids);
  const answers = await Promise.all([post(one, ask("x")), post(two, ask("y"))]);
  expect(answers.map(({ status }) => status)).toEqual([200, 200]);
  expect(a.most).toBe(1);
});

test("a pin set at one gateway holds at the other", async () => {
  const a = await openKeeper(100, { old: 60, m: 60 }, "old");
  const [one, two] = await openTwo({ a }, [{ id: "m", vram_mb: 60 }]);
  await post(one, { model: "old", neuron: "a", pinned: true }, { path: "/api/models/pin" });
  expect((await errorOf(await post(two, ask("m")))).code).toBe("no_room");
  const three = await openGateway({ neurons: { a: a.neuron }, store: one.gateway.store });
  expect(three.gateway.residency.stays.isPinned("a", "old")).toBe(true);
});

test("a gateway that dies in the middle of a load is followed by the other when its lease has ended", async () => {
  let now = 0;
  const store = new MemoryStore({ now: () => now });
  const a = await openKeeper(100);
  const gateway = await openGateway({ neurons: { a: a.neuron }, models: { models: [{ id: "m" }] }, store });
  await store.create("load.m", "gw_dead", { ttlMs: 15_000 });
  const answer = post(gateway, ask("m"));
  await until(() => gateway.gateway.residency.loads.waiting === 1);
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(a.told).toEqual([]);
  now = 15_001;
  expect((await answer).status).toBe(200);
  expect(a.told).toEqual(["load m"]);
});

test("a store that is away stops no load", async () => {
  const store = new MemoryStore();
  const away = () => Promise.reject(new Error("away"));
  Object.assign(store, { create: away, get: away, put: away, delete: away, compareAndSet: away });
  const a = await openKeeper(100, { old: 60, m: 60 }, "old");
  const models = { models: [{ id: "m", vram_mb: 60 }] };
  const gateway = await openGateway({ neurons: { a: a.neuron }, models, store, cortex: { poll } });
  expect((await post(gateway, ask("m"))).status).toBe(200);
  expect(a.told).toEqual(["unload old", "load m"]);
});

const log = createLog({ level: "error", format: "text", write: () => {} });

test("a lease is one's until it is let go, and a note may stand in its place", async () => {
  const store = new MemoryStore();
  const [one, two] = [new Leases(store, log, "one"), new Leases(store, log, "two")];
  const lease = await one.take("k");
  expect([await two.take("k"), await two.read("k")]).toEqual([undefined, "one"]);
  await lease!.release({ value: "note", ttlMs: 20 });
  expect([await two.take("k"), await two.read("k")]).toEqual([undefined, "note"]);
  await until(async () => (await two.read("k")) === undefined);
  expect(await two.take("k")).toBeDefined();
});

test("turns are taken in the order of asking; who gives up leaves the line", async () => {
  const store = new MemoryStore();
  const leases = new Leases(store, log, "one");
  const forever = new AbortController().signal;
  const first = await leases.turn("k", forever);
  const order: string[] = [];
  const give = new AbortController();
  const second = leases.turn("k", give.signal).catch((error: Error) => order.push(error.message));
  const third = leases.turn("k", forever).then((lease) => (order.push("third"), lease.release()));
  give.abort(new Error("second gave up"));
  await second;
  expect(order).toEqual(["second gave up"]);
  await first.release();
  await third;
  expect(order).toEqual(["second gave up", "third"]);
  expect(await leases.read("k")).toBeUndefined();
});

test("a turn waits for the other gateway's", async () => {
  const store = new MemoryStore();
  const [one, two] = [new Leases(store, log, "one"), new Leases(store, log, "two")];
  const signal = new AbortController().signal;
  const first = await one.turn("k", signal);
  let got = false;
  const second = two.turn("k", signal).then((lease) => ((got = true), lease.release()));
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(got).toBe(false);
  await first.release();
  await second;
});
