import { expect, test } from "vitest";
import type { FleetReport } from "../fleet/protocol.ts";
import type { TestGateway } from "../fixtures/gateway.fixture.ts";
import { chat, openGateway, openNeuron, post, until } from "../fixtures/gateway.fixture.ts";
import { delta, done, finish, json, openStream, role, usageChunk } from "../fixtures/mock-neuron.fixture.ts";

async function report(gateway: TestGateway): Promise<FleetReport> {
  const response = await fetch(`${gateway.url}/api/fleet`);
  expect(response.headers.get("cache-control")).toBe("no-store");
  return (await response.json()) as FleetReport;
}

test("the fleet: neurons, devices, models and where they are", async () => {
  const [a, b] = [await openNeuron("demo"), await openNeuron()];
  a.loads.set("demo", { in_flight: 2, queue_depth: 4 });
  const loading = { phase: "reading" as const, bytes: 3, total_bytes: 4, tensors: 1, total_tensors: 2 };
  b.models.set("big", { status: "loading", loading });
  b.models.set("bad", { status: "failed", error: "no such folder" });
  const gateway = await openGateway({
    neurons: { alpha: a, beta: b },
    models: { aliases: { small: "demo" } },
  });
  const fleet = await report(gateway);
  expect(fleet).toMatchObject({ version: "1.2.3", status: "degraded", traffic: [] });
  expect(fleet.neurons).toMatchObject([
    {
      ...{ name: "alpha", state: "healthy", draining: false, hostname: "mock", version: "9.9.9" },
      devices: [{ index: 0, name: "Mock 9000", vram_total_mb: 24576, vram_used_mb: 1536 }],
      models: [
        {
          ...{ id: "demo", status: "loaded", devices: [0], vram_used_mb: 7, in_flight: 2, queue_depth: 4 },
          ...{ tok_s_prefill: null, tok_s_decode: null },
        },
      ],
    },
    {
      name: "beta",
      models: [
        { id: "big", status: "loading", percent: 75, phase: "reading" },
        { id: "bad", status: "failed", error: "no such folder" },
      ],
    },
  ]);
  expect(fleet.models.map(({ id, loaded, alias_of }) => [id, loaded, alias_of])).toEqual([
    ["bad", false, undefined],
    ["big", false, undefined],
    ["demo", true, undefined],
    ["small", true, "demo"],
  ]);
  expect(JSON.stringify(fleet)).not.toContain("127.0.0.1");
});

test("what a neuron had that is out of reach is not told any more", async () => {
  const neuron = await openNeuron("demo");
  const gateway = await openGateway({
    neurons: { a: neuron },
    cortex: { poll: { interval_s: 0.05, timeout_s: 0.2 } },
  });
  await neuron.kill();
  await until(() => gateway.gateway.fleet.neuron("a").state === "unreachable");
  const { neurons } = await report(gateway);
  expect(neurons[0]).toMatchObject({ state: "unreachable", reason: expect.any(String), models: [] });
});

test("traffic counts while an answer streams, and takes the neuron's count at its end", async () => {
  const neuron = await openNeuron("demo");
  let go = () => {};
  const middle = new Promise<void>((resolve) => (go = resolve));
  neuron.answer = async (_, response) => {
    openStream(response);
    response.write(role + delta("one") + delta("two") + delta("three"));
    await middle;
    response.end(finish + usageChunk(5, 7, 0) + done);
  };
  const gateway = await openGateway({ neurons: { a: neuron } });
  const running = post(gateway, { ...chat, stream: true }).then((response) => response.text());
  await until(() => gateway.gateway.traffic.report()[0]?.tokens === 3);
  const here = { model: "demo", neuron: "a" };
  expect((await report(gateway)).traffic).toMatchObject([
    { ...here, requests: 0, errors: 0, tokens: 3, first_tokens: 1 },
  ]);
  go();
  await running;
  await until(() => gateway.gateway.traffic.report()[0]?.requests === 1);
  const [flow] = (await report(gateway)).traffic;
  expect(flow).toMatchObject({ ...here, requests: 1, errors: 0, tokens: 7, first_tokens: 1 });
  expect(flow!.first_token_secs).toBeGreaterThan(0);
});

test("errors count; what was never routed does not", async () => {
  const neuron = await openNeuron("demo");
  neuron.answer = (_, response) =>
    json(response, 400, { error: { message: "no", type: "x", code: "bad", param: null } });
  const gateway = await openGateway({ neurons: { a: neuron } });
  await post(gateway, chat);
  await post(gateway, { ...chat, model: "nobody's" });
  await until(() => gateway.logs.filter(({ event }) => event === "request").length === 2);
  expect(gateway.gateway.traffic.report()).toEqual([
    {
      ...{ model: "demo", neuron: "a", requests: 1, errors: 1, tokens: 0 },
      ...{ first_tokens: 0, first_token_secs: 0 },
    },
  ]);
});
