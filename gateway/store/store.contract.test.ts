// What every store keeps to, tried on each: the one in the process, and NATS where its server is installed.

import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { hasNats, NatsServer } from "./nats/server.fixture.ts";
import { NatsStore } from "./nats/store.ts";
import type { Change, Store } from "./store.ts";
import { MemoryStore } from "./store.ts";

const bounds = [{ prefix: "resp.", maxBytes: 5 * 2 ** 20 }];
const server = new NatsServer();
let fleets = 0;

const stores: [string, () => Promise<Store>][] = [["memory", async () => new MemoryStore({ bounds })]];
if (hasNats)
  stores.push(["nats", () => NatsStore.open({ url: server.url, bounds, fleet: `fleet${(fleets += 1)}` })]);

beforeAll(async () => {
  if (hasNats) await server.start();
});
afterAll(() => server.remove());

const sleep = (ms: number) => new Promise((wake) => setTimeout(wake, ms));
/** Keys with everything in them that ours have: models' names, ids, dots. */
const key = "load.Qwen/Qwen3-0.6B:q4_k.gpu-box 1";

describe.each(stores)("%s", (_, openStore) => {
  async function open(): Promise<Store> {
    const store = await openStore();
    onTestFinished(() => store.close());
    return store;
  }

  test("what was put is there, under keys of any letters, until it is deleted", async () => {
    const store = await open();
    for (const name of [key, ".a..b.", "schlüssel=1 > *", "resp.x/y", "clock"]) {
      expect(await store.get(name)).toBeUndefined();
      const first = await store.put(name, `of ${name}`);
      expect(await store.get(name)).toEqual({ value: `of ${name}`, revision: first });
      const second = await store.put(name, "");
      expect(second).toBeGreaterThan(first);
      expect(await store.get(name)).toEqual({ value: "", revision: second });
      expect([await store.delete(name), await store.delete(name)]).toEqual([true, false]);
      expect(await store.get(name)).toBeUndefined();
    }
  });

  test("of ten that create one key at once, one is first; deleted, it can be created again", async () => {
    const store = await open();
    const tries = await Promise.all(Array.from({ length: 10 }, (_, i) => store.create(key, `by ${i}`)));
    expect(tries.filter((revision) => revision !== undefined)).toHaveLength(1);
    const winner = tries.findIndex((revision) => revision !== undefined);
    expect(await store.get(key)).toEqual({ value: `by ${winner}`, revision: tries[winner] });
    await store.delete(key);
    expect(await store.create(key, "again")).toBeGreaterThan(tries[winner]!);
  });

  test("counting by compare-and-set loses nothing", async () => {
    const store = await open();
    await store.put(key, "0");
    const add = async () => {
      for (;;) {
        const { value, revision } = (await store.get(key))!;
        if (await store.compareAndSet(key, String(Number(value) + 1), revision)) return;
      }
    };
    await Promise.all(Array.from({ length: 12 }, add));
    expect((await store.get(key))!.value).toBe("12");
  });

  test("a revision that has passed sets nothing and deletes nothing", async () => {
    const store = await open();
    const first = await store.put(key, "1");
    const second = await store.put(key, "2");
    expect(await store.compareAndSet(key, "3", first)).toBeUndefined();
    expect([await store.delete(key, first), (await store.get(key))!.value]).toEqual([false, "2"]);
    expect(await store.compareAndSet("other", "1", second)).toBeUndefined();
    expect([await store.delete(key, second), await store.get(key)]).toEqual([true, undefined]);
  });

  test("a lease ends by itself, can be prolonged, and watchers hear of both", async () => {
    const store = await open();
    const heard: string[] = [];
    const leave = store.watch("load.", (change: Change) =>
      heard.push(change.kind === "put" ? change.entry.value : `-${change.key}`),
    );
    const first = await store.create(key, "a", { ttlMs: 600 });
    await sleep(350);
    const second = await store.compareAndSet(key, "b", first!, { ttlMs: 600 });
    await sleep(350);
    expect((await store.get(key))?.value).toBe("b");
    expect(await store.create(key, "c")).toBeUndefined();
    await vi.waitFor(() => expect(heard).toEqual(["a", "b", `-${key}`]), 3000);
    expect([await store.get(key), await store.compareAndSet(key, "d", second!)]).toEqual([
      undefined,
      undefined,
    ]);
    expect(await store.create(key, "e", { ttlMs: 60_000 })).toBeDefined();
    await vi.waitFor(() => expect(heard.at(-1)).toBe("e"), 3000);
    leave();
    await store.delete(key);
    await sleep(50);
    expect(heard).toHaveLength(4);
  });

  test("a value of megabytes comes back whole; under the bound the oldest go", async () => {
    const store = await open();
    const large = (n: number) => `${n}é`.repeat(500_000);
    for (const n of [1, 2, 3, 4, 5]) await store.put(`resp.${n}`, large(n));
    const whole = async (n: number) => (await store.get(`resp.${n}`))?.value === large(n);
    expect([await whole(1), await whole(4), await whole(5)]).toEqual([false, true, true]);
  });

  test("messages reach those who listen", async () => {
    const store = await open();
    const heard: string[] = [];
    const leave = store.subscribe("drain gpu", (message) => heard.push(message));
    await store.publish("drain gpu", "1");
    await store.publish("reload", "2");
    await vi.waitFor(() => expect(heard).toEqual(["1"]), 3000);
    leave();
    await store.publish("drain gpu", "3");
    await sleep(50);
    expect(heard).toEqual(["1"]);
  });
});
