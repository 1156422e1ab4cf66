import { expect, test } from "vitest";
import { Drains } from "../fleet/drains.ts";
import { Fleet } from "../fleet/fleet.ts";
import {
  chat,
  errorOf,
  keyFor,
  openGateway,
  openNeuron,
  post,
  samples,
  until,
} from "../fixtures/gateway.fixture.ts";
import type { TestGateway } from "../fixtures/gateway.fixture.ts";
import { status } from "../inspect/status.ts";
import { createLog } from "../telemetry/log.ts";
import { delta, done, finish, json, openStream, role, usageChunk } from "../fixtures/mock-neuron.fixture.ts";
import { MemoryStore } from "../store/store.ts";

test("a drained neuron gets nothing new, and what runs there ends in peace", async () => {
  const [a, b] = [await openNeuron("demo"), await openNeuron("demo")];
  let end = () => {};
  a.answer = (_, response) => {
    openStream(response);
    response.write(role + delta("one"));
    end = () => response.end(delta("two") + finish + usageChunk(5, 2, 0) + done);
  };
  const gateway = await openGateway({ neurons: { a, b } });
  const running = await post(gateway, { ...chat, stream: true });
  const order = async (method: string, name = "a") =>
    (await fetch(`${gateway.url}/api/neurons/${name}/drain`, { method })).json();
  expect(await order("POST")).toEqual({ name: "a", draining: true, running: 1 });
  for (let i = 0; i < 3; i++) expect((await post(gateway, chat)).headers.get("x-cortex-neuron")).toBe("b");
  const polls = a.polls.length;
  await until(() => a.polls.length > polls + 5); // the neuron itself says that all is well
  expect((await post(gateway, chat)).headers.get("x-cortex-neuron")).toBe("b");
  expect(await order("POST", "b")).toMatchObject({ name: "b", draining: true });
  const refused = await post(gateway, chat);
  expect([refused.status, refused.headers.get("retry-after")]).toEqual([503, "3"]);
  end();
  expect(await running.text()).toMatch(/one.*two.*\[DONE\]/s);
  expect(await order("DELETE")).toMatchObject({ name: "a", draining: false });
  a.answer = b.answer;
  expect((await post(gateway, chat)).headers.get("x-cortex-neuron")).toBe("a");
  const unknown = await fetch(`${gateway.url}/api/neurons/zeta/drain`, { method: "POST" });
  expect([unknown.status, (await errorOf(unknown)).message]).toEqual([404, "No neuron is called 'zeta'."]);
});

test("an order holds for gateways that share a store, also for one that comes later, and through a failing store is none", async () => {
  const store = new MemoryStore();
  const log = createLog({ level: "error", format: "text", write: () => {} });
  const open = async () => {
    const fleet = new Fleet(3);
    fleet.add("a", "http://a");
    fleet.add("b", "http://b");
    const drains = new Drains(fleet, store, log);
    await drains.start();
    return {
      fleet,
      drains,
      drained: () => fleet.neurons.filter(({ draining }) => draining).map(({ name }) => name),
    };
  };
  const [one, two] = [await open(), await open()];
  await one.drains.set("b", true);
  const three = await open();
  expect([one.drained(), two.drained(), three.drained()]).toEqual([["b"], ["b"], ["b"]]);
  three.fleet.remove("b");
  three.fleet.add("b", "http://elsewhere");
  expect(three.drained()).toEqual([]);
  await three.drains.recall("b");
  expect(three.drained()).toEqual(["b"]);
  await two.drains.set("b", false);
  expect([one.drained(), two.drained(), three.drained()]).toEqual([[], [], []]);
  two.drains.stop();
  await one.drains.set("a", true);
  expect([one.drained(), two.drained()]).toEqual([["a"], []]);
  store.put = () => Promise.reject(new Error("away"));
  await expect(one.drains.set("b", true)).rejects.toThrow("away");
  expect(one.drained()).toEqual(["a"]);
});

test("usage: an admin sees everybody, others see themselves, and only an admin may drain", async () => {
  const [alice, root] = [keyFor("alice"), keyFor("root", { admin: true })];
  const neuron = await openNeuron("demo");
  const cortex = { auth: { mode: "required" } };
  const gateway = await openGateway({ neurons: { a: neuron }, cortex, keys: [alice.key, root.key] });
  for (const { headers } of [alice, alice, root]) await post(gateway, chat, { headers });
  await until(() => gateway.logs.filter(({ event }) => event === "request").length === 3);
  const usage = async ({ headers }: typeof alice, query = "") => {
    const response = await fetch(`${gateway.url}/api/usage${query}`, { headers });
    const { keys } = (await response.json()) as {
      keys: { name: string; days: Record<string, { requests: number }> }[];
    };
    return Object.fromEntries(keys.map(({ name, days }) => [name, Object.values(days)[0]?.requests ?? 0]));
  };
  expect(await usage(alice, "?days=2")).toEqual({ alice: 2 });
  expect(await usage(root, "?days=2")).toEqual({ alice: 2, root: 1, anonymous: 0 });
  for (const days of ["0", "93", "x"])
    expect((await fetch(`${gateway.url}/api/usage?days=${days}`, { headers: root.headers })).status).toBe(
      400,
    );
  const drain = async (headers: Record<string, string>) =>
    (await fetch(`${gateway.url}/api/neurons/a/drain`, { method: "POST", headers })).status;
  expect([await drain({}), await drain(alice.headers), await drain(root.headers)]).toEqual([401, 403, 200]);
});

async function health(gateway: TestGateway): Promise<unknown> {
  return (await fetch(`${gateway.url}/health`)).json();
}

test("a neuron that breaks off again and again is left alone, tried once, and taken back", async () => {
  const [a, b] = [await openNeuron("demo"), await openNeuron("demo")];
  a.answer = (_, response) => {
    openStream(response);
    response.write(role + delta("one"));
    response.destroy();
  };
  b.answer = (_, response) => {
    openStream(response);
    response.end(role + delta("ok") + finish + done);
  };
  const breaker = { failures: 3, pause_s: 0.4 };
  const gateway = await openGateway({ neurons: { a, b }, cortex: { breaker } });
  const stream = async () => {
    const response = await post(gateway, { ...chat, stream: true });
    return [response.headers.get("x-cortex-neuron"), /\[DONE\]/.test(await response.text())];
  };
  for (let i = 0; i < 3; i++) expect(await stream()).toEqual(["a", false]);
  await until(() => gateway.logs.some(({ event }) => event === "neuron is left alone for a while"));
  for (let i = 0; i < 5; i++) expect(await stream()).toEqual(["b", true]);
  expect(await samples(gateway, "cortex_neuron_circuit_open")).toEqual({
    '{neuron="a"}': 1,
    '{neuron="b"}': 0,
  });
  expect(await health(gateway)).toMatchObject({
    ...{
      status: "degraded",
      fleet: [{ name: "a", state: "healthy", circuit: "open" }, { circuit: "closed" }],
    },
  });
  expect((await status({ endpoint: gateway.url }, false)).text).toMatch(/^a +healthy, left alone: /m);
  expect(a.requests.length).toBe(3);
  a.answer = b.answer;
  await new Promise((wake) => setTimeout(wake, 450));
  expect(await health(gateway)).toMatchObject({ status: "ok", fleet: [{ circuit: "half_open" }, {}] });
  expect(await stream()).toEqual(["a", true]);
  await until(() => gateway.logs.some(({ event }) => event === "neuron is asked again"));
  expect(await samples(gateway, "cortex_neuron_circuit_open")).toEqual({
    '{neuron="a"}': 0,
    '{neuron="b"}': 0,
  });
});

test("refusals and wrong requests do not open the breaker; a lone neuron that is left alone means 503 at once", async () => {
  const neuron = await openNeuron("demo");
  const gateway = await openGateway({ neurons: { a: neuron }, cortex: { breaker: { failures: 2 } } });
  for (const status of [400, 404, 429, 503]) {
    neuron.answer = (_, r) => json(r, status, { error: { message: "no", code: "queue_full" } });
    for (let i = 0; i < 3; i++) expect((await post(gateway, chat)).status).toBe(status);
  }
  neuron.answer = (_, r) => r.destroy();
  for (let i = 0; i < 2; i++) expect((await post(gateway, chat)).status).toBe(502);
  const asked = neuron.requests.length;
  const refused = await post(gateway, chat);
  expect([refused.status, refused.headers.get("retry-after")]).toEqual([503, "3"]);
  expect(neuron.requests.length).toBe(asked);
});
