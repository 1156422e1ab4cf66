// Pinned models, on mock neurons over real sockets.
import { expect, test } from "vitest";
import { chat, openGateway, post, until } from "../fixtures/gateway.fixture.ts";
import { openKeeper } from "../fixtures/lifecycle.fixture.ts";

const poll = { interval_s: 0.05, loading_interval_s: 0.03, timeout_s: 2 };
const pinned = (...neurons: string[]) => ({ models: [{ id: "p", vram_mb: 60, pinned_on: neurons }] });
const ask = { ...chat, model: "p" };
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

test("a pinned model is loaded at the start on each of its neurons, and again when it is lost", async () => {
  const [a, b, c] = [await openKeeper(100), await openKeeper(100), await openKeeper(100)];
  const neurons = { a: a.neuron, b: b.neuron, c: c.neuron };
  const gateway = await openGateway({ neurons, models: pinned("a", "b"), cortex: { poll } });
  await until(() => a.told.length + b.told.length === 2);
  expect([a.told, b.told, c.told]).toEqual([["load p"], ["load p"], []]);
  await until(() => a.neuron.models.get("p")?.status === "loaded");
  a.neuron.models.delete("p");
  await until(() => a.told.length === 2);
  expect((await post(gateway, ask)).status).toBe(200);
  expect([a.told, b.told, c.told]).toEqual([["load p", "load p"], ["load p"], []]);
});

test("two gateways load it once", async () => {
  const a = await openKeeper(100);
  a.loadMs = 300;
  const first = await openGateway({ neurons: { a: a.neuron }, models: pinned("a"), cortex: { poll } });
  const { store } = first.gateway;
  await openGateway({ neurons: { a: a.neuron }, models: pinned("a"), cortex: { poll }, store });
  await until(() => a.neuron.models.get("p")?.status === "loaded");
  await pause(400);
  expect(a.told).toEqual(["load p"]);
});

test("it waits for what is at work, and says so once; then what is idle makes room", async () => {
  const a = await openKeeper(100, { x: 60, p: 60 }, "x");
  a.busy("x", 1);
  const gateway = await openGateway({ neurons: { a: a.neuron }, models: pinned("a"), cortex: { poll } });
  const waits = () => gateway.logs.filter(({ event }) => event === "pinned model finds no room");
  await until(() => waits().length === 1);
  await pause(200);
  expect([a.told, waits()]).toMatchObject([[], [{ neuron: "a", model: "p", why: "full" }]]);
  a.busy("x", 0);
  await until(() => a.told.length === 2);
  expect(a.told).toEqual(["unload x", "load p"]);
});

test("one that cannot be loaded is left alone for a while", async () => {
  const a = await openKeeper(100);
  a.refusals.set("p", { status: 422, code: "bad_checkpoint" });
  const gateway = await openGateway({ neurons: { a: a.neuron }, models: pinned("a"), cortex: { poll } });
  const failures = () => gateway.logs.filter(({ event }) => event === "pinned model not loaded");
  await until(() => failures().length === 1);
  await pause(1200);
  expect(failures()).toMatchObject([{ neuron: "a", model: "p", again_s: 5 }]);
  expect(a.told).toEqual(["load p"]);
});

test("an operator's unload holds until somebody asks for the model, in every gateway", async () => {
  const a = await openKeeper(100);
  const first = await openGateway({ neurons: { a: a.neuron }, models: pinned("a"), cortex: { poll } });
  const { store } = first.gateway;
  await openGateway({ neurons: { a: a.neuron }, models: pinned("a"), cortex: { poll }, store });
  await until(() => a.neuron.models.get("p")?.status === "loaded");
  await until(() => first.gateway.fleet.neuron("a").models[0]?.status === "loaded");
  await pause(1100); // else it would rest anyway
  expect((await post(first, { model: "p" }, { path: "/api/models/unload" })).status).toBe(200);
  await pause(400);
  expect(a.told).toEqual(["load p", "unload p"]);
  expect((await post(first, ask)).status).toBe(200);
  a.neuron.models.delete("p");
  await until(() => a.told.length === 4);
  expect(a.told).toEqual(["load p", "unload p", "load p", "load p"]);
});
