// Pinned models, on mock neurons over real sockets.
import { expect, test } from "vitest";
import { chat, Clock, openGateway, post, until, type TestGateway } from "../fixtures/gateway.fixture.ts";
import { openKeeper } from "../fixtures/lifecycle.fixture.ts";

const poll = { interval_s: 0.02, timeout_s: 5 };
const pinned = (...neurons: string[]) => ({ models: [{ id: "p", vram_mb: 60, pinned_on: neurons }] });
const ask = { ...chat, model: "p" };

/** The gateway has seen the model there, and has done with loading it. */
async function settle({ gateway }: TestGateway, neuron: string): Promise<void> {
  const { fleet, residency } = gateway;
  const isThere = () =>
    fleet.neuron(neuron).models.some(({ id, status }) => id === "p" && status === "loaded");
  await until(() => isThere() && residency.loads.report().length === 0 && !fleet.isWorkedOn(neuron));
}

/** The gateway has looked after its fleet several times since. */
async function looks({ gateway }: TestGateway, neuron: { polls: string[] }): Promise<void> {
  const { residency } = gateway;
  const before = neuron.polls.length;
  await until(() => neuron.polls.length > before + 12 && residency.loads.report().length === 0);
}

test("a pinned model is loaded at the start on each of its neurons, and again when it is lost", async () => {
  const [a, b, c] = [await openKeeper(100), await openKeeper(100), await openKeeper(100)];
  const neurons = { a: a.neuron, b: b.neuron, c: c.neuron };
  const clock = new Clock();
  const gateway = await openGateway({ neurons, models: pinned("a", "b"), cortex: { poll }, now: clock.now });
  await Promise.all([settle(gateway, "a"), settle(gateway, "b")]);
  expect([a.told, b.told, c.told]).toEqual([["load p"], ["load p"], []]);
  clock.forward(1000);
  a.neuron.models.delete("p");
  await until(() => a.told.length === 2);
  expect((await post(gateway, ask)).status).toBe(200);
  expect([a.told, b.told, c.told]).toEqual([["load p", "load p"], ["load p"], []]);
});

test("one that is gone before its gateway has seen it is a load that failed, and waited for no longer", async () => {
  const a = await openKeeper(100);
  const put = a.put.bind(a);
  a.put = (id) => {
    put(id);
    a.neuron.models.delete(id);
  };
  const gateway = await openGateway({ neurons: { a: a.neuron }, models: pinned("a"), cortex: { poll } });
  const failures = () => gateway.logs.filter(({ event }) => event === "pinned model not loaded");
  await until(() => failures().length === 1);
  expect(failures()).toMatchObject([{ model: "p", reason: expect.stringContaining("gone again") }]);
});

test("two gateways load it once", async () => {
  const a = await openKeeper(100);
  a.loadMs = 300;
  const first = await openGateway({ neurons: { a: a.neuron }, models: pinned("a"), cortex: { poll } });
  const { store } = first.gateway;
  const second = await openGateway({
    ...{ neurons: { a: a.neuron }, models: pinned("a"), cortex: { poll }, store },
  });
  await Promise.all([settle(first, "a"), settle(second, "a")]);
  expect(a.told).toEqual(["load p"]);
});

test("it waits for what is at work, and says so once; then what is idle makes room", async () => {
  const a = await openKeeper(100, { x: 60, p: 60 }, "x");
  a.busy("x", 1);
  const gateway = await openGateway({ neurons: { a: a.neuron }, models: pinned("a"), cortex: { poll } });
  const waits = () => gateway.logs.filter(({ event }) => event === "pinned model finds no room");
  await until(() => waits().length === 1);
  await looks(gateway, a.neuron);
  expect([a.told, waits()]).toMatchObject([[], [{ neuron: "a", model: "p", why: "full" }]]);
  a.busy("x", 0);
  await until(() => a.told.length === 2);
  expect(a.told).toEqual(["unload x", "load p"]);
});

test("one that cannot be loaded is left alone for a while", async () => {
  const a = await openKeeper(100);
  a.refusals.set("p", { status: 422, code: "bad_checkpoint" });
  const clock = new Clock();
  const gateway = await openGateway({
    ...{ neurons: { a: a.neuron }, models: pinned("a"), cortex: { poll }, now: clock.now },
  });
  const failures = () => gateway.logs.filter(({ event }) => event === "pinned model not loaded");
  await until(() => failures().length === 1);
  clock.forward(1200); // after a load that succeeded, this would be enough
  await looks(gateway, a.neuron);
  expect(failures()).toMatchObject([{ neuron: "a", model: "p", again_s: 5 }]);
  expect(a.told).toEqual(["load p"]);
});

test("an operator's unload holds until somebody asks for the model, in every gateway", async () => {
  const a = await openKeeper(100);
  const clock = new Clock();
  const config = { neurons: { a: a.neuron }, models: pinned("a"), cortex: { poll }, now: clock.now };
  const first = await openGateway(config);
  const second = await openGateway({ ...config, store: first.gateway.store });
  const settled = () => Promise.all([settle(first, "a"), settle(second, "a")]);
  await settled();
  clock.forward(6000); // else it would rest anyway, and nobody has asked it yet
  expect((await post(first, { model: "p" }, { path: "/api/models/unload" })).status).toBe(200);
  await looks(first, a.neuron);
  expect(a.told).toEqual(["load p", "unload p"]);
  expect((await post(first, ask)).status).toBe(200);
  await settled();
  a.neuron.models.delete("p");
  await until(() => a.told.length === 4);
  expect(a.told).toEqual(["load p", "unload p", "load p", "load p"]);
});
