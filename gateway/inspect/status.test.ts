import { expect, test } from "vitest";
import { openAnswers } from "../fixtures/command.fixture.ts";
import { keyFor, openGateway, openNeuron, unusedPort, until } from "../fixtures/gateway.fixture.ts";
import { status } from "./status.ts";

test("a table of neurons and models; exit code 0 when all is well", async () => {
  const [a, b] = [await openNeuron("demo"), await openNeuron("demo")];
  a.loads.set("demo", { in_flight: 2, queue_depth: 4 });
  const loading = { phase: "reading" as const, bytes: 1, total_bytes: 4, tensors: 0, total_tensors: 2 };
  b.models.set("big", { status: "loading", loading });
  const gateway = await openGateway({
    neurons: { alpha: a, beta: b },
    models: { aliases: { small: "demo" } },
  });
  const { text, exitCode } = await status({ endpoint: `${gateway.url}/` }, false);
  expect(exitCode).toBe(0);
  expect(text.replace(gateway.url, "URL")).toBe(
    [
      "cortex 1.2.3 on URL: ok, 2 of 2 neurons healthy",
      "",
      "NEURON  STATE    DEVICES    MEMORY        MODELS         IN FLIGHT  QUEUED",
      "alpha   healthy  Mock 9000  1.5/24.0 GiB  1 of 1 loaded  2          4",
      "beta    healthy  Mock 9000  1.5/24.0 GiB  1 of 2 loaded  0          0",
      "",
      "MODEL  STATUS         WHERE                CONTEXT  CAPABILITIES",
      "big    not loaded     beta (loading 25 %)  -        text",
      "demo   loaded         alpha, beta          4096     text",
      "small  alias of demo  alpha, beta          4096     text",
    ].join("\n"),
  );
});

test("--json is the same as data", async () => {
  const gateway = await openGateway({ neurons: { a: await openNeuron("demo") } });
  const { text, exitCode } = await status({ endpoint: gateway.url }, true);
  expect(exitCode).toBe(0);
  expect(JSON.parse(text)).toMatchObject({
    health: {
      status: "ok",
      neurons: { healthy: 1, total: 1 },
      fleet: [{ name: "a", models: [{ id: "demo" }] }],
    },
    models: [{ id: "demo", loaded: true }],
  });
});

test("what is known of a neuron stands in its line; what is not is a question mark", async () => {
  const device = { name: "llvmpipe", kind: "software", vram_used_mb: 512, vram_total_mb: null };
  const neuron = { name: "a", state: "healthy", draining: false, models: [] };
  const fleet = [
    { ...neuron, circuit: "open", devices: [device] },
    {
      ...neuron,
      name: "b",
      circuit: "half_open",
      draining: true,
      devices: [{ ...device, vram_used_mb: null }],
    },
    { ...neuron, name: "c", circuit: "closed", state: "unreachable", reason: "why", devices: [] },
  ];
  const health = { status: "degraded", version: "1", neurons: { healthy: 2, total: 3 }, fleet };
  const { url } = await openAnswers({ "GET /health": health, "GET /v1/models": { data: [] } });
  const { text } = await status({ endpoint: url }, false);
  expect(text.split("\n").slice(3, 6)).toEqual([
    expect.stringMatching(
      /^a {7}healthy, left alone: its last requests failed +llvmpipe \(software\) +0\.5\/\? GiB /,
    ),
    expect.stringMatching(/^b {7}draining, to be tried again +llvmpipe \(software\) +\? /),
    expect.stringMatching(/^c {7}unreachable \(why\) +- +- +0 of 0 loaded +0 +0$/),
  ]);
});

test.each(["failed", "unreachable", "draining"])("exit code 1 when one is %s", async (how) => {
  const [a, b] = [await openNeuron("demo"), await openNeuron("demo")];
  if (how === "failed") b.models.set("bad", { status: "failed", error: "no such folder" });
  if (how === "draining") b.health = "shutting_down";
  const poll = { interval_s: 0.05, timeout_s: 0.2 };
  const gateway = await openGateway({ neurons: { a, b }, cortex: { poll } });
  if (how === "unreachable") {
    await b.kill();
    await until(() => gateway.gateway.fleet.neuron("b").state === "unreachable");
  }
  const { text, exitCode } = await status({ endpoint: gateway.url }, false);
  expect(exitCode).toBe(1);
  expect(text).toMatch(/: degraded, /);
  expect(text.endsWith("\n\nbad failed on b: no such folder")).toBe(how === "failed");
  if (how === "unreachable") expect(text).toMatch(/^b +unreachable \(\/\w+: ECONNREFUSED\)/m);
  expect(text).not.toContain(String(b.url));
});

test("exit code 1 while a neuron is still starting", async () => {
  const a = await openNeuron("demo");
  a.hung = true;
  const gateway = await openGateway({ neurons: { a }, settled: false });
  expect(await status({ endpoint: gateway.url }, false)).toMatchObject({
    exitCode: 1,
    text: expect.stringMatching(/: starting, 0 of 1/),
  });
  a.hung = false;
});

test("exit code 2 when nobody answers, or somebody else", async () => {
  const dead = `http://127.0.0.1:${await unusedPort()}`;
  expect(await status({ endpoint: dead }, false)).toMatchObject({
    exitCode: 2,
    text: `no gateway answers on ${dead}: ECONNREFUSED; \`cortex serve\` starts one, --endpoint names another`,
  });
  expect(JSON.parse((await status({ endpoint: dead }, true)).text)).toEqual({
    error: {
      message: `no gateway answers on ${dead}: ECONNREFUSED; \`cortex serve\` starts one, --endpoint names another`,
      code: "no_answer",
    },
  });
  const neuron = { "GET /health": { status: "ok" }, "GET /v1/models": { data: [] } };
  const { url } = await openAnswers(neuron);
  expect(await status({ endpoint: url }, false)).toMatchObject({
    exitCode: 2,
    text: expect.stringMatching(/: not a cortex gateway/),
  });
});

test("exit code 1 when the gateway wants another key: it is there", async () => {
  const forbidding = await openAnswers({}, 403);
  expect((await status({ endpoint: forbidding.url }, false)).exitCode).toBe(1);
  const { key } = keyFor("alice");
  const cortex = { auth: { mode: "required" } };
  const { url } = await openGateway({ neurons: { a: await openNeuron("demo") }, cortex, keys: [key] });
  expect(await status({ endpoint: url, key: "wrong" }, false)).toMatchObject({
    exitCode: 1,
    text: `the gateway on ${url} refuses: The API key is not valid. (401)`,
  });
});

test("why a model failed is told to admins alone where keys are asked for", async () => {
  const [root, alice] = [keyFor("root", { admin: true }), keyFor("alice")];
  const a = await openNeuron("demo");
  a.models.set("bad", { status: "failed", error: "/srv/bad is no folder" });
  const cortex = { auth: { mode: "required" } };
  const { url } = await openGateway({ neurons: { a }, cortex, keys: [root.key, alice.key] });
  const told = async (key: string) => {
    const headers = { authorization: `Bearer ${key}` };
    const fleet = await (await fetch(`${url}/api/fleet`, { headers })).text();
    return [(await status({ endpoint: url, key }, false)).text, fleet].map((text) =>
      text.includes("/srv/bad"),
    );
  };
  expect([await told(root.text), await told(alice.text)]).toEqual([
    [true, true],
    [false, false],
  ]);
  expect(await (await fetch(`${url}/health`)).text()).toMatch(/"id":"bad","status":"failed"(?!.*\/srv)/);
});
