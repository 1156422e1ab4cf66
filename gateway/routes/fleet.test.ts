import { expect, test } from "vitest";
import { chat, errorOf, openGateway, post, until } from "../fixtures/gateway.fixture.ts";
import { openKeeper, poll } from "../fixtures/lifecycle.fixture.ts";
import type { Keeper } from "../fixtures/lifecycle.fixture.ts";

async function open(keepers: Record<string, Keeper>, settings: Parameters<typeof openGateway>[0] = {}) {
  const neurons = Object.fromEntries(Object.entries(keepers).map(([name, { neuron }]) => [name, neuron]));
  const gateway = await openGateway({ neurons, ...settings, cortex: { poll, ...settings.cortex } });
  const tell = (path: string, body: object = {}) => post(gateway, body, { path });
  return { gateway, tell };
}

test("a model is loaded where it fits, or where the operator says; the answer says where it is", async () => {
  const [a, b] = [await openKeeper(100), await openKeeper(200)];
  const { tell } = await open({ a, b }, { models: { aliases: { small: "org/m" } } });
  const anywhere = await tell("/api/models/load", { model: "small" });
  expect([anywhere.status, await anywhere.json()]).toEqual([
    200,
    { status: "loaded", model: "org/m", neurons: ["b"] },
  ]);
  expect(await (await tell("/api/models/load", { model: "org/m", neuron: "a" })).json()).toMatchObject({
    neurons: ["a", "b"],
  });
  expect([a.told, b.told]).toEqual([["load org/m"], ["load org/m"]]);
});

test("who does not wait is answered at once, and sees it on the way", async () => {
  const a = await openKeeper(100);
  const { gateway, tell } = await open({ a });
  let go = () => {};
  a.gate = new Promise<void>((resolve) => (go = resolve));
  const answer = await tell("/api/models/load", { model: "m", wait: false });
  expect([answer.status, await answer.json()]).toEqual([202, { status: "loading", model: "m", neurons: [] }]);
  const loads = async () =>
    ((await (await fetch(`${gateway.url}/api/fleet`)).json()) as { loads: object[] }).loads;
  await until(async () => (await loads()).some((load) => "percent" in load));
  expect(await loads()).toMatchObject([
    { model: "m", neuron: "a", phase: "loading", percent: 43, waiting: 1 },
  ]);
  go();
  await until(() => a.neuron.models.get("m")?.status === "loaded");
  await until(async () => (await loads()).length === 0);
});

test("a load that fails tells why, and may be tried again at once", async () => {
  const a = await openKeeper(100);
  a.refusals.set("m", { status: 404, code: "model_not_found" });
  const { tell } = await open({ a });
  const answer = await tell("/api/models/load", { model: "m" });
  expect([answer.status, (await errorOf(answer)).message]).toEqual([
    502,
    "The model 'm' could not be loaded: its files were not found.",
  ]);
  a.refusals.delete("m");
  expect((await tell("/api/models/load", { model: "m" })).status).toBe(200);
});

test("unloading: refused while it is at work, unless by force; from one neuron or from all", async () => {
  const [a, b] = [await openKeeper(100, {}, "m"), await openKeeper(100, {}, "m", "n")];
  const { gateway, tell } = await open({ a, b });
  b.busy("m", 2);
  await until(() => gateway.gateway.fleet.neuron("b").models[0]!.inFlight === 2);
  const busy = await tell("/api/models/unload", { model: "m", neuron: "b" });
  expect([busy.status, (await errorOf(busy)).code]).toEqual([409, "model_busy"]);
  expect(b.told).toEqual([]);
  const forced = await tell("/api/models/unload", { model: "m", force: true });
  expect(await forced.json()).toEqual({ status: "unloaded", model: "m", neurons: ["a", "b"] });
  expect([a.told, b.told]).toEqual([["unload m"], ["unload m"]]);
  const gone = await tell("/api/models/unload", { model: "m" });
  expect([gone.status, (await errorOf(gone)).code]).toEqual([404, "model_not_found"]);
  expect(b.neuron.models.has("n")).toBe(true);
});

test("a load can be broken off by force", async () => {
  const a = await openKeeper(100);
  const { tell, gateway } = await open({ a });
  const load = tell("/api/models/load", { model: "m" });
  a.loadMs = 60_000;
  await until(() => gateway.gateway.fleet.neuron("a").models[0]?.status === "loading");
  expect((await tell("/api/models/unload", { model: "m" })).status).toBe(409);
  expect((await tell("/api/models/unload", { model: "m", force: true })).status).toBe(200);
  await a.neuron.kill(); // as a neuron whose load was broken off, its answer fails
  expect((await load).status).toBe(503);
});

test("a pinned model is not unloaded for another, until it is unpinned", async () => {
  const a = await openKeeper(100, { m: 60, n: 60 }, "m");
  const { gateway, tell } = await open({ a }, { models: { models: [{ id: "n", vram_mb: 60 }] } });
  const pin = { model: "m", neuron: "a" };
  expect(await (await tell("/api/models/pin", { ...pin, pinned: true })).json()).toEqual({
    ...pin,
    pinned: true,
  });
  const report = (await (await fetch(`${gateway.url}/api/fleet`)).json()) as {
    neurons: { models: { pinned: boolean }[] }[];
  };
  expect(report.neurons[0]!.models[0]!.pinned).toBe(true);
  const refused = await post(gateway, { ...chat, model: "n" });
  expect((await errorOf(refused)).code).toBe("no_room");
  await tell("/api/models/pin", { ...pin, pinned: false });
  expect((await post(gateway, { ...chat, model: "n" })).status).toBe(200);
  expect(a.told).toEqual(["unload m", "load n"]);
});

test("a device is started anew when its models have nothing to do; requests wait meanwhile", async () => {
  const a = await openKeeper(100, {}, "m");
  const { gateway, tell } = await open({ a });
  a.busy("m", 1);
  await until(() => gateway.gateway.fleet.neuron("a").models[0]!.inFlight === 1);
  const restart = tell("/api/neurons/a/restart");
  await until(() => gateway.gateway.fleet.neuron("a").models[0]!.use.leaving === "restart");
  const request = post(gateway, { ...chat, model: "m" });
  await new Promise((resolve) => setTimeout(resolve, 150));
  expect([a.told, a.neuron.requests.length]).toEqual([[], 0]);
  a.busy("m", 0);
  expect(await (await restart).json()).toEqual({ status: "restarted", name: "a" });
  expect((await request).status).toBe(200);
  expect(a.told).toEqual(["restart"]);
});

test.each([
  ["/api/models/load", { model: "m", neuron: "nobody" }, 404],
  ["/api/models/load", { model: 7 }, 400],
  ["/api/models/load", { model: "m", now: true }, 400],
  ["/api/models/unload", {}, 400],
  ["/api/models/pin", { model: "m", neuron: "a" }, 400],
  ["/api/neurons/nobody/restart", {}, 404],
])("%s %j: %i", async (path, body, status) => {
  const { tell } = await open({ a: await openKeeper(100) });
  expect((await tell(path, body)).status).toBe(status);
});

test("pages of other sites may not", async () => {
  const a = await openKeeper(100, {}, "m");
  const { gateway } = await open({ a });
  const headers = { "sec-fetch-site": "cross-site", "content-type": "text/plain" };
  const answer = await post(gateway, { model: "m" }, { path: "/api/models/unload", headers });
  expect([answer.status, a.told]).toEqual([403, []]);
});
