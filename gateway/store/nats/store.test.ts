import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { jetstreamManager } from "@nats-io/jetstream";
import { Bucket } from "./bucket.ts";
import { ServerClock } from "./clock.ts";
import { natsAddressOf, openNats } from "./connect.ts";
import { decodeKey, encodeKey } from "./keys.ts";
import { hasNats, NatsServer } from "./server.fixture.ts";
import { NatsStore, type NatsStoreOptions } from "./store.ts";

test("the setting's text: servers, user, token, TLS", () => {
  expect(natsAddressOf("nats://box")).toEqual({ servers: ["box:4222"], tls: false });
  expect(natsAddressOf("tls://ann:p%40ss@a:1,b:2")).toEqual({
    ...{ servers: ["a:1", "b:2"], tls: true },
    ...{ user: "ann", password: "p@ss" },
  });
  expect(natsAddressOf("nats://s3cret@box:4333").token).toBe("s3cret");
  for (const wrong of ["redis://box", "nats://", "box:4222", "nats://a/b?c"])
    expect(() => natsAddressOf(wrong)).toThrow(wrong);
  expect(() => natsAddressOf("http://ann:geheim@box")).toThrow(/^(?!.*geheim).*http:\/\/…@box/);
});

test("keys of any letters become keys that NATS allows, and themselves again", () => {
  for (const key of ["a.b-c/d_E9", ".", "..a..", "a.", "ö = >*", "=41", "\u{1F600}\n"]) {
    const encoded = encodeKey(key);
    expect(encoded).toMatch(/^[-/_=a-zA-Z0-9]+(\.[-/_=a-zA-Z0-9]+)*$/);
    expect(decodeKey(encoded)).toBe(key);
  }
});

describe.skipIf(!hasNats)("a bucket", () => {
  const server = new NatsServer();
  beforeAll(() => server.start());
  afterAll(() => server.remove());

  test("deleted keys leave no marks for ever, and one created again stays", async () => {
    const nats = await openNats({ url: server.url, name: "test", timeoutMs: 1000 });
    onTestFinished(() => nats.close());
    const options = { name: "marks", replicas: 1, timeoutMs: 1000 };
    const bucket = await Bucket.open(nats, new ServerClock(), options);
    for (const key of ["a", "b c", "d"]) await bucket.put(key, key, {});
    for (const key of ["a", "b c"]) await bucket.delete(key);
    await bucket.create("b c", "again", {});
    const stored = async () => {
      const manager = await jetstreamManager(nats);
      return (await manager.streams.info("KV_marks")).state.messages;
    };
    expect(await stored()).toBe(3);
    await bucket.forgetDeleted(60_000);
    expect(await stored()).toBe(3);
    await bucket.forgetDeleted(-1000);
    expect(await stored()).toBe(2);
    expect([await bucket.get("b c"), await bucket.get("a")]).toMatchObject([{ value: "again" }, undefined]);
  });
});

describe.skipIf(!hasNats)("with a server", () => {
  const server = new NatsServer();
  beforeAll(() => server.start());
  afterAll(() => server.remove());

  let fleets = 0;
  async function open(options: Partial<NatsStoreOptions> = {}): Promise<NatsStore> {
    const store = await NatsStore.open({ url: server.url, timeoutMs: 1000, ...options });
    onTestFinished(() => store.close());
    return store;
  }
  const newFleet = () => `test${(fleets += 1)}`;

  test("two gateways see one another's records, leases and messages", async () => {
    const fleet = newFleet();
    const [one, two] = [await open({ fleet }), await open({ fleet })];
    const heard: string[] = [];
    two.watch("load.", ({ kind, key }) => heard.push(`${kind} ${key}`));
    two.subscribe("drain", (message) => heard.push(message));
    expect(await one.create("load.m", "one", { ttlMs: 300 })).toBeDefined();
    expect(await two.create("load.m", "two", { ttlMs: 300 })).toBeUndefined();
    await one.publish("drain", "gpu-box");
    await vi.waitFor(() => expect(heard.sort()).toEqual(["gpu-box", "put load.m"]), 3000);
    await vi.waitFor(async () => expect(await two.create("load.m", "two")).toBeDefined(), 3000);
    expect((await one.get("load.m"))!.value).toBe("two");
    await vi.waitFor(() => expect(heard.slice(2)).toEqual(["delete load.m", "put load.m"]), 3000);
  });

  test("fleets do not see one another", async () => {
    const [one, two] = [await open({ fleet: newFleet() }), await open({ fleet: newFleet() })];
    await one.put("pin.m", "x");
    expect(await two.get("pin.m")).toBeUndefined();
  });

  test("a gateway that dies holding a lease gives it back in time", async () => {
    const fleet = newFleet();
    const dead = await NatsStore.open({ url: server.url, fleet });
    await dead.create("load.m", "dead", { ttlMs: 200 });
    await dead.close();
    const alive = await open({ fleet });
    await vi.waitFor(async () => expect(await alive.create("load.m", "alive")).toBeDefined(), 3000);
  });

  test("a gateway's clock that is wrong, or jumps, changes no lease", async () => {
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 86_400_000 });
    onTestFinished(() => void vi.useRealTimers());
    const store = await open({ fleet: newFleet() });
    await store.put("lease", "x", { ttlMs: 60_000 });
    vi.setSystemTime(Date.now() - 7 * 86_400_000);
    expect(await store.get("lease")).toBeDefined();
    expect(await store.create("lease", "y")).toBeUndefined();
  });

  test("a server that goes is noticed at once, says so, and is used again when it is back", async () => {
    const link: boolean[] = [];
    const store = await open({ fleet: newFleet(), onLink: (linked) => link.push(linked) });
    const heard: string[] = [];
    store.watch("pin.", ({ key }) => heard.push(key));
    await store.put("pin.a", "kept");
    await server.kill();
    await vi.waitFor(() => expect(link).toEqual([false]), 3000);
    await expect(store.get("pin.a")).rejects.toMatchObject({ code: "store_unavailable" });
    await expect(store.create("lease", "x")).rejects.toMatchObject({ code: "store_unavailable" });
    await server.start();
    await vi.waitFor(() => expect(link).toEqual([false, true]), 5000);
    await vi.waitFor(async () => expect((await store.get("pin.a"))!.value).toBe("kept"), 5000);
    await store.put("pin.b", "x");
    await vi.waitFor(() => expect(heard).toEqual(["pin.a", "pin.b"]), 5000);
  }, 20_000);

  test("nobody there, or a server that keeps nothing: the operator is told", async () => {
    const url = "nats://127.0.0.1:9";
    await expect(NatsStore.open({ url, timeoutMs: 100 })).rejects.toThrow(
      /^state: nats:\/\/127\.0\.0\.1:9 cannot/,
    );
    const forgetful = new NatsServer([]);
    await forgetful.start();
    onTestFinished(() => forgetful.remove());
    const options = { url: forgetful.url, timeoutMs: 300 };
    await expect(NatsStore.open(options)).rejects.toThrow(/JetStream is off$/);
  });

  test("a large value where only small ones are kept is a bug, and says so", async () => {
    const store = await open({ fleet: newFleet() });
    const put = store.put("pin.a", "x".repeat(3e6));
    await expect(put).rejects.toMatchObject({ cause: { message: expect.stringContaining("3000000 bytes") } });
    expect(() => store.watch("resp.", () => undefined)).not.toThrow();
    const bounded = await open({ fleet: newFleet(), bounds: [{ prefix: "resp.", maxBytes: 1e6 }] });
    expect(() => bounded.watch("resp.", () => undefined)).toThrow(/cannot be watched/);
  });
});
