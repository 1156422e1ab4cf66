import { describe, expect, test, vi } from "vitest";
import type { Change } from "./store.ts";
import { MemoryStore } from "./store.ts";

function open(bounds: { prefix: string; maxBytes: number }[] = []) {
  const clock = { ms: 1000 };
  const store = new MemoryStore({ bounds, now: () => clock.ms });
  const changes: string[] = [];
  const note = (change: Change) =>
    changes.push(change.kind === "put" ? `${change.key}=${change.entry.value}` : `-${change.key}`);
  return { store, clock, changes, note };
}

test("put, get, delete; revisions grow", async () => {
  const { store } = open();
  expect(await store.get("a")).toBeUndefined();
  const first = await store.put("a", "1");
  const second = await store.put("b", "2");
  expect(second).toBeGreaterThan(first);
  expect(await store.get("a")).toEqual({ value: "1", revision: first });
  expect([await store.delete("a"), await store.delete("a"), await store.get("a")]).toEqual([
    true,
    false,
    undefined,
  ]);
});

test("of two that create one key, one is told that it was first", async () => {
  const { store } = open();
  const [a, b] = await Promise.all([store.create("lease", "a"), store.create("lease", "b")]);
  expect([typeof a, b, (await store.get("lease"))!.value]).toEqual(["number", undefined, "a"]);
});

test("compare and set, and delete, only at that revision", async () => {
  const { store } = open();
  expect(await store.compareAndSet("a", "1", 0)).toBeUndefined();
  const one = await store.put("a", "1");
  const two = await store.compareAndSet("a", "2", one);
  expect(two).toBeGreaterThan(one);
  expect(await store.compareAndSet("a", "3", one)).toBeUndefined();
  expect([await store.delete("a", one), (await store.get("a"))!.value, await store.delete("a", two)]).toEqual(
    [...[false, "2", true]],
  );
});

describe("time", () => {
  test("a key lives as long as it was given; put again, it lives anew", async () => {
    const { store, clock } = open();
    await store.put("a", "1", { ttlMs: 100 });
    await store.put("b", "1");
    clock.ms += 99;
    expect(await store.get("a")).toBeDefined();
    await store.put("a", "2", { ttlMs: 100 });
    clock.ms += 99;
    expect((await store.get("a"))!.value).toBe("2");
    clock.ms += 1;
    expect([await store.get("a"), (await store.get("b"))!.value]).toEqual([undefined, "1"]);
    expect(await store.create("a", "3")).toBeDefined();
  });

  test("watchers hear of an expiry that nobody asked after", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    try {
      const store = new MemoryStore();
      const gone: string[] = [];
      store.watch("lease.", ({ key, kind }) => kind === "delete" && gone.push(key));
      await store.put("lease.slow", "x", { ttlMs: 500 });
      await store.put("lease.fast", "x", { ttlMs: 50 });
      await store.put("other", "x", { ttlMs: 50 });
      vi.advanceTimersByTime(51);
      expect(gone).toEqual(["lease.fast"]);
      vi.advanceTimersByTime(450);
      expect(gone).toEqual(["lease.fast", "lease.slow"]);
      await store.put("lease.long", "x", { ttlMs: 2 ** 40 });
      await store.close();
    } finally {
      vi.useRealTimers();
    }
  });
});

test("watchers hear of their prefix until they leave", async () => {
  const { store, changes, note } = open();
  const leave = store.watch("a.", note);
  await store.put("a.1", "x");
  await store.put("b.1", "x");
  await store.delete("a.1");
  leave();
  await store.put("a.2", "x");
  expect(changes).toEqual(["a.1=x", "-a.1"]);
});

test("messages reach who listens now", async () => {
  const { store } = open();
  const heard: string[] = [];
  await store.publish("t", "early");
  const leave = store.subscribe("t", (message) => heard.push(message));
  await store.publish("t", "1");
  await store.publish("u", "2");
  leave();
  await store.publish("t", "3");
  expect(heard).toEqual(["1"]);
});

describe("bounds", () => {
  const value = "v".repeat(95); // with its key of five, 200 bytes
  test("the oldest of the prefix go, others stay", async () => {
    const { store, changes, note } = open([{ prefix: "resp.", maxBytes: 600 }]);
    store.watch("resp.", (change) => change.kind === "delete" && note(change));
    await store.put("lease", value);
    for (const n of [1, 2, 3]) await store.put(`resp.${n}`.slice(0, 6), value.slice(1));
    await store.put("resp.1", value.slice(1)); // the youngest now
    await store.put("resp.4", value.slice(1));
    expect(changes).toEqual(["-resp.2"]);
    expect([await store.get("lease"), await store.get("resp.1"), await store.get("resp.2")]).toMatchObject([
      ...[{ value }, {}],
      undefined,
    ]);
  });

  test("what is larger than the bound is not kept, and takes nothing down for long", async () => {
    const { store } = open([{ prefix: "resp.", maxBytes: 600 }]);
    await store.put("resp.1", value);
    await store.put("resp.2", "v".repeat(1000));
    expect([await store.get("resp.1"), await store.get("resp.2")]).toEqual([undefined, undefined]);
    for (const n of [3, 4, 5]) await store.put(`resp.${n}`, value.slice(1));
    expect((await store.get("resp.3"))!.value).toBe(value.slice(1));
  });
});
