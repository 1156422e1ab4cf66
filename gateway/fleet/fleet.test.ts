import { expect, test } from "vitest";
import type { ModelLoad, Report, SeenModel } from "./fleet.ts";
import { Fleet } from "./fleet.ts";

const mib = 2 ** 20;

function opened() {
  let now = 0;
  const fleet = new Fleet(3, () => now);
  fleet.add("a", "http://a");
  return { fleet, view: fleet.neuron("a"), pass: (ms: number) => (now += ms) };
}

interface Told {
  models?: Record<string, Partial<SeenModel>>;
  loads?: Record<string, Partial<ModelLoad>>;
  usedMb?: number;
  uptime?: number;
}

function report({ models = {}, loads = {}, usedMb = 10, uptime = 5 }: Told): Report {
  const device = { index: 0, name: "GPU", kind: "hardware" as const, vram_total_mb: 100 };
  const idle = { in_flight: 0, queue_depth: 0, tok_s_prefill: null, tok_s_decode: null };
  const usual = { status: "loaded", capabilities: ["text"], limit: null, tool_call: false, reasoning: false };
  return {
    discovery: { hostname: "h", version: "1", devices: [device] } as unknown as Report["discovery"],
    health: {
      ...{ status: "ok", uptime_secs: uptime },
      devices: [{ ...device, vram_used_mb: usedMb, vram_free_mb: null }],
      models: Object.keys(models).map((id) => ({ id, ...idle, ...loads[id] })),
    },
    models: Object.entries(models).map(([id, model]) => ({
      id,
      ...usual,
      devices: [0],
      vram_used_mb: 7,
      ...model,
    })),
    urls: new Map(),
  };
}

test("what is not ours is measured while nothing comes or goes, for drivers tell late", () => {
  const { fleet, view, pass } = opened();
  const others = () => view.devices[0]!.othersMb;
  fleet.succeeded("a", report({ models: { m: {} }, usedMb: 20 }));
  expect(others()).toBe(13);
  fleet.succeeded("a", report({ models: {}, usedMb: 20 })); // gone, but its memory is still counted as used
  expect(others()).toBe(13);
  pass(9999);
  fleet.succeeded("a", report({ models: {}, usedMb: 20 }));
  expect(others()).toBe(13);
  pass(1);
  fleet.succeeded("a", report({ models: {}, usedMb: 15 }));
  expect(others()).toBe(15);
});

test("a model counts for what it was promised, where the neuron says so", () => {
  const { fleet, view } = opened();
  const memory = { total_bytes: 40 * mib + 1 };
  fleet.succeeded("a", report({ models: { m: {}, n: {} }, loads: { m: { memory } }, usedMb: 60 }));
  expect(view.models.map(({ figures }) => figures.memoryMb)).toEqual([41, 7]);
  expect(view.devices[0]!.othersMb).toBe(12);
  expect(fleet.recall("m")!.memoryMb).toBe(41);
});

test("unloads are counted, until the device or the process is another", () => {
  const { fleet, view } = opened();
  fleet.succeeded("a", report({ models: { x: {}, y: {} } }));
  fleet.succeeded("a", report({ models: { y: { status: "unloading" }, z: { status: "loading" } } }));
  fleet.succeeded("a", report({ models: {} })); // z never came
  expect(view.cycles).toBe(2);
  fleet.renewed("a");
  expect(view.cycles).toBe(0);
  fleet.succeeded("a", report({ models: { y: {} } }));
  fleet.succeeded("a", report({ models: {} }));
  expect(view.cycles).toBe(1);
  fleet.succeeded("a", report({ uptime: 1 }));
  expect(view.cycles).toBe(0);
});

test("the last use: a request of ours, somebody's in flight, or as the neuron says", () => {
  const { fleet, view, pass } = opened();
  const use = () => view.models[0]!.use;
  const told = (load: Partial<ModelLoad> = {}) =>
    fleet.succeeded("a", report({ models: { m: {} }, loads: { m: load } }));
  told();
  expect(use()).toMatchObject({ usedAt: 0, loadedAt: -Infinity, served: false });
  pass(1000);
  const release = fleet.claim("a", "m");
  expect(use()).toMatchObject({ running: 1, served: true });
  pass(500);
  release();
  expect(use()).toMatchObject({ running: 0, usedAt: 1500 });
  pass(1000);
  told({ queue_depth: 1 });
  expect(use().usedAt).toBe(2500);
  pass(7500);
  told({ idle_secs: 3 });
  expect(use().usedAt).toBe(7000);
  told({ idle_secs: 9 }); // not before what is known better
  expect(use().usedAt).toBe(7000);
});

test("a model that comes later was loaded then, and one that failed begins anew", () => {
  const { fleet, view, pass } = opened();
  fleet.succeeded("a", report({}));
  pass(800);
  fleet.succeeded("a", report({ models: { m: { status: "loading" } } }));
  expect(view.models[0]!.use.loadedAt).toBe(Infinity);
  pass(400);
  fleet.succeeded("a", report({ models: { m: {} } }));
  expect(view.models[0]!.use).toMatchObject({ loadedAt: 1200, usedAt: 1200, served: false });
  fleet.succeeded("a", report({ models: { m: { status: "failed" } } }));
  expect(view.models[0]!.use.loadedAt).toBe(Infinity);
});

test("where a model was loaded is remembered, until the neuron denies it", () => {
  const { fleet } = opened();
  fleet.succeeded("a", report({ models: { m: {}, never: { status: "failed" } } }));
  fleet.succeeded("a", report({}));
  expect([fleet.rememberedIds(), fleet.recall("never")]).toEqual([["m"], undefined]);
  fleet.forget("a", "m");
  expect(fleet.rememberedIds()).toEqual([]);
});

test("who waits for something is woken when it is so, and leaves when told to", async () => {
  const { fleet, view } = opened();
  const leave = new AbortController();
  const there = fleet.until(() => view.models.length > 0, new AbortController().signal);
  const never = fleet.until(() => false, leave.signal);
  fleet.succeeded("a", report({ models: { m: {} } }));
  await there;
  leave.abort(new Error("enough"));
  await expect(never).rejects.toThrow("enough");
});
