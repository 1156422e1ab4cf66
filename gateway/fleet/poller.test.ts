import { expect, test } from "vitest";
import { chat, errorOf, openGateway, openNeuron, post, until } from "../fixtures/gateway.fixture.ts";
import { MockNeuron } from "../fixtures/mock-neuron.fixture.ts";
import { reachableUrl } from "./neuron-client.ts";

const quick = { poll: { interval_s: 0.05, timeout_s: 0.2 } };

test("three failed polls make a neuron unreachable, not two; the first good one heals it", async () => {
  const neuron = await openNeuron("demo");
  const gateway = await openGateway({
    neurons: { a: neuron },
    cortex: { poll: { interval_s: 0.1, timeout_s: 0.4 } },
  });
  const view = gateway.gateway.fleet.neuron("a");
  await until(() => view.strikes === 0 && view.state === "healthy");
  const seen: [number, string][] = [];
  const { fleet } = gateway.gateway;
  const failed = fleet.failed.bind(fleet);
  fleet.failed = (name, reason) => {
    failed(name, reason);
    seen.push([view.strikes, view.state]);
  };
  neuron.hung = true;
  await until(() => seen.length >= 3);
  expect(seen.slice(0, 3)).toEqual([
    [1, "healthy"],
    [2, "healthy"],
    [3, "unreachable"],
  ]);
  expect(view.reason).toMatch(/^\/(health|models): no answer within 400 ms$/);
  const response = await post(gateway, chat);
  expect([response.status, response.headers.get("retry-after")]).toEqual([503, "5"]);
  expect((await errorOf(response)).code).toBe("no_healthy_neuron");
  neuron.hung = false;
  await until(() => view.state === "healthy");
  expect([view.strikes, view.reason]).toEqual([0, undefined]);
  expect((await post(gateway, chat)).status).toBe(200);
});

test("polls that fail at the same time tell of one loss", async () => {
  const neuron = await openNeuron("demo");
  const gateway = await openGateway({ neurons: { a: neuron }, cortex: { poll: { interval_s: 30 } } });
  await neuron.kill();
  await Promise.all(Array.from({ length: 5 }, () => gateway.gateway.refresh("a")));
  expect(gateway.gateway.fleet.neuron("a").state).toBe("unreachable");
  expect(gateway.logs.filter(({ event }) => event === "neuron unreachable")).toHaveLength(1);
});

test("a neuron that hangs delays no other", async () => {
  const [a, b] = [await openNeuron("demo"), await openNeuron("demo")];
  a.hung = true;
  const gateway = await openGateway({
    neurons: { a, b },
    cortex: { poll: { interval_s: 0.05, timeout_s: 30 } },
    settled: false,
  });
  await until(() => b.polls.filter((path) => path === "/health").length > 5);
  expect(a.polls.filter((path) => path === "/health").length).toBe(1);
  expect(gateway.gateway.fleet.neuron("a").state).toBe("starting");
});

test("what is asked before the first poll has come back waits for it, and is not refused", async () => {
  const [a, b] = [await openNeuron("other"), await openNeuron("demo")];
  a.hung = b.hung = true;
  const gateway = await openGateway({
    neurons: { a, b },
    cortex: { poll: { timeout_s: 0.3 } },
    settled: false,
  });
  const answers = Promise.all([
    post(gateway, chat),
    post(gateway, chat),
    post(gateway, { ...chat, model: "x" }),
  ]);
  await until(() => gateway.gateway.running.size === 3);
  a.hung = b.hung = false;
  const [first, second, unknown] = await answers;
  expect([first.status, second.status]).toEqual([200, 200]);
  expect([unknown.status, (await errorOf(unknown)).code]).toEqual([404, "model_not_found"]);
  expect([a.requests.length, b.requests.length]).toEqual([0, 2]);
});

test("the first list of models has those of neurons that answer at the start", async () => {
  const neuron = await openNeuron("demo");
  neuron.hung = true;
  const gateway = await openGateway({
    neurons: { a: neuron },
    cortex: { poll: { timeout_s: 0.3 } },
    settled: false,
  });
  const listed = fetch(`${gateway.url}/v1/models`).then((response) => response.json());
  await until(() => neuron.polls.length > 0);
  neuron.hung = false;
  expect(await listed).toMatchObject({ data: [{ id: "demo", loaded: true }] });
});

test("a neuron that cannot be reached at the start is waited for until it is known", async () => {
  const gone = await openNeuron("demo");
  await gone.kill();
  const gateway = await openGateway({ neurons: { a: gone }, settled: false });
  const response = await post(gateway, chat);
  expect([response.status, (await errorOf(response)).code]).toEqual([503, "no_healthy_neuron"]);
  expect(gateway.gateway.fleet.neuron("a").state).toBe("unreachable");
});

test("discovery and addresses are asked once; again after a restart, and after the neuron was lost", async () => {
  const neuron = await openNeuron("demo");
  const gateway = await openGateway({ neurons: { a: neuron }, cortex: quick });
  const asked = (path: string) => neuron.polls.filter((p) => p === path).length;
  await until(() => asked("/health") >= 4);
  expect([asked("/discovery"), asked("/models/demo/endpoint")]).toEqual([1, 1]);
  neuron.uptime = 1;
  await until(() => asked("/discovery") === 2 && asked("/models/demo/endpoint") === 2);
  neuron.hung = true;
  await until(() => gateway.gateway.fleet.neuron("a").state === "unreachable");
  const before = asked("/discovery");
  neuron.hung = false;
  await until(() => gateway.gateway.fleet.neuron("a").state === "healthy");
  expect(asked("/discovery")).toBeGreaterThan(before);
});

test("a status that we do not know is not servable, and hides nothing else", async () => {
  const neuron = await openNeuron("demo");
  neuron.models.set("odd", { status: "hibernating" });
  const gateway = await openGateway({ neurons: { a: neuron } });
  const response = await post(gateway, { ...chat, model: "odd" });
  expect(response.status).toBe(503);
  expect(await errorOf(response)).toMatchObject({
    code: "model_unavailable",
    message: expect.stringMatching(/hibernating/),
  });
  expect((await post(gateway, chat)).status).toBe(200);
});

test("an answer outside the protocol is a strike that names the field", async () => {
  const neuron = await openNeuron("demo");
  neuron.models.set("demo", { status: "loaded", capabilities: "text" as unknown as string[] });
  const gateway = await openGateway({ neurons: { a: neuron }, cortex: quick });
  const view = gateway.gateway.fleet.neuron("a");
  expect([view.state, view.reason]).toEqual([
    "unreachable",
    expect.stringMatching(/^\/models: 0\.capabilities: /),
  ]);
});

test("the rhythm is quick while a model loads", async () => {
  const neuron = await openNeuron();
  neuron.models.set("demo", { status: "loading" });
  const poll = { interval_s: 30, loading_interval_s: 0.03 };
  const gateway = await openGateway({ neurons: { a: neuron }, cortex: { poll } });
  neuron.models.set("demo", { status: "loaded" });
  await until(() =>
    gateway.lines.some((line) => line.startsWith("ready: demo answers on http://127.0.0.1:")),
  );
  const polls = neuron.polls.length;
  await new Promise((resolve) => setTimeout(resolve, 150));
  expect(neuron.polls.length).toBe(polls); // and slow again
});

test.each([
  ["text", "/v1/chat/completions", '"messages":[{"role":"user","content":"Hello"}]'],
  ["embeddings", "/v1/embeddings", '"input":"Hello"'],
])("something to try, of a model that makes %s", async (what, path, asked) => {
  const neuron = await openNeuron();
  neuron.models.set("m", { status: "loaded", capabilities: [what] });
  const { lines, url } = await openGateway({ neurons: { a: neuron } });
  await until(() => lines.some((line) => line.startsWith("ready: m answers")));
  const curl = `  curl ${url}${path} -H 'content-type: application/json' -d '{"model":"m",${asked}}'`;
  expect(lines).toContain(curl);
});

test("a neuron that goes down takes nothing new", async () => {
  const [a, b] = [await openNeuron("demo"), await openNeuron("demo")];
  a.health = "shutting_down";
  const gateway = await openGateway({ neurons: { a, b } });
  await post(gateway, chat);
  expect([a.requests.length, b.requests.length]).toEqual([0, 1]);
});

test("requests in flight count before the next poll: a burst spreads", async () => {
  const [a, b] = [await openNeuron("demo"), await openNeuron("demo")];
  a.answer = b.answer = () => {};
  const gateway = await openGateway({ neurons: { a, b }, cortex: { poll: { interval_s: 30 } } });
  const hangUp = new AbortController();
  const sent = Array.from({ length: 6 }, () =>
    post(gateway, chat, { signal: hangUp.signal }).catch(() => {}),
  );
  await until(() => a.requests.length + b.requests.length === 6);
  expect([a.requests.length, b.requests.length]).toEqual([3, 3]);
  hangUp.abort();
  await Promise.all(sent);
  const loads = () => gateway.gateway.fleet.neurons.map((n) => n.models[0]!.ahead);
  await until(() => loads().join() === "0,0");
});

test("a neuron that is not there is starting, then unreachable; it is found when it comes", async () => {
  const neuron = new MockNeuron("demo");
  const port = (await neuron.listen()).port;
  const { url } = neuron;
  await neuron.kill();
  const gateway = await openGateway({ neurons: { a: { url } as MockNeuron }, cortex: quick });
  expect(gateway.gateway.fleet.neuron("a")).toMatchObject({
    state: "unreachable",
    reason: expect.stringMatching(/ECONNREFUSED/),
  });
  const late = await new MockNeuron("demo").listen(port);
  await until(() => gateway.gateway.fleet.neuron("a").state === "healthy");
  await gateway.stop();
  await late.kill();
});

test.each([
  ["http://localhost:13131", "http://gpu1:9", "http://gpu1:13131"],
  ["http://127.0.0.1:13131/", "http://10.0.0.7:9", "http://10.0.0.7:13131"],
  ["http://0.0.0.0:1/base/", "http://gpu1:9", "http://gpu1:1/base"],
  ["http://[::1]:2", "http://gpu1:9", "http://gpu1:2"],
  ["http://[::]:2", "http://[fe80::1]:9", "http://[fe80::1]:2"],
  ["http://10.0.0.8:3", "http://gpu1:9", "http://10.0.0.8:3"],
])("an advertised %s of the neuron at %s is %s", (advertised, endpoint, want) => {
  expect(reachableUrl(advertised, endpoint)).toBe(want);
});
