import { expect, test } from "vitest";
import { chat, openGateway, post, samples, until } from "../fixtures/gateway.fixture.ts";
import { openKeeper, poll } from "../fixtures/lifecycle.fixture.ts";

const ask = (model: string) => ({ ...chat, model });

test("what nobody uses for its time is unloaded, and comes back when it is asked for", async () => {
  const a = await openKeeper(100, {}, "idle", "used", "pinned", "longer");
  const models = {
    models: [
      { id: "idle" },
      { id: "pinned", pinned_on: ["a"] },
      { id: "longer", idle_unload_s: 600 },
      { id: "used" },
    ],
  };
  const eviction = { idle_unload_s: 0.6 };
  const gateway = await openGateway({ neurons: { a: a.neuron }, models, cortex: { poll, eviction } });
  let over = false;
  const keepsUsing = (async () => {
    while (!over) await (await post(gateway, ask("used"))).text();
  })();
  await until(() => a.told.length > 0);
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(a.told).toEqual(["unload idle"]);
  expect(await samples(gateway, "cortex_evictions_total")).toEqual({
    '{model="idle",neuron="a",reason="idle"}': 1,
  });
  over = true;
  await keepsUsing;
  expect((await post(gateway, ask("idle"))).status).toBe(200);
  expect(a.told).toContain("load idle");
});

test("a model that another gateway's requests use is not idle", async () => {
  const a = await openKeeper(100, {}, "m");
  a.busy("m", 1);
  const gateway = await openGateway({
    neurons: { a: a.neuron },
    cortex: { poll, eviction: { idle_unload_s: 0.2 } },
  });
  await new Promise((resolve) => setTimeout(resolve, 700));
  expect(a.told).toEqual([]);
  a.busy("m", 0);
  await until(() => a.told.length === 1);
  expect(gateway.gateway.fleet.recall("m")!.neurons).toEqual(new Set(["a"]));
});

test("after so many unloads a device is started anew, once its models have nothing to do", async () => {
  const a = await openKeeper(100, { x: 60, y: 60, stays: 10 }, "stays");
  const models = {
    models: [
      { id: "x", vram_mb: 60 },
      { id: "y", vram_mb: 60 },
    ],
  };
  const eviction = { defrag_after_cycles: 2 };
  const gateway = await openGateway({ neurons: { a: a.neuron }, models, cortex: { poll, eviction } });
  a.busy("stays", 1);
  for (const model of ["x", "y", "x"]) expect((await post(gateway, ask(model))).status).toBe(200);
  const view = gateway.gateway.fleet.neuron("a");
  await until(() => view.cycles === 2);
  await until(() => view.models.every(({ use }) => use.leaving === "restart"));
  const waits = post(gateway, ask("stays"));
  await new Promise((resolve) => setTimeout(resolve, 150));
  expect(a.told).not.toContain("restart");
  a.busy("stays", 0);
  await until(() => a.told.includes("restart"));
  expect((await waits).status).toBe(200);
  await until(() => view.cycles === 0);
  expect(await samples(gateway, "cortex_neuron_restarts_total")).toEqual({ '{neuron="a"}': 1 });
  expect(a.told.filter((told) => told === "restart")).toEqual(["restart"]);
});

test("models that a restart has lost are loaded again", async () => {
  const a = await openKeeper(100, {}, "m");
  const gateway = await openGateway({ neurons: { a: a.neuron }, cortex: { poll } });
  const usual = a.neuron.lifecycle;
  a.neuron.lifecycle = (request, response) => {
    if (request.path === "/restart") a.neuron.models.clear();
    return usual(request, response);
  };
  await gateway.gateway.residency.restart("a", new AbortController().signal);
  expect(a.told).toEqual(["restart", "load m"]);
});
