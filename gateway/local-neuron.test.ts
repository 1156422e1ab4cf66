import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, expect, test } from "vitest";
import { isAlive, writeFakeNeuron } from "./fixtures/fake-neuron.fixture.ts";
import { chat, openGateway, post, unusedPort, until } from "./fixtures/gateway.fixture.ts";
import type { TestGateway } from "./fixtures/gateway.fixture.ts";

const folder = mkdtempSync(join(tmpdir(), "cortex-local-"));
const neuronScript = writeFakeNeuron(join(folder, "main.mjs"));
afterAll(() => rmSync(folder, { recursive: true }));
afterEach(() => void delete process.env.FAKE_NEURON);

/** In the order of their starts. */
function pids({ lines }: TestGateway): number[] {
  return lines.flatMap((line) => /^neuron \| pid (\d+)$/.exec(line)?.slice(1).map(Number) ?? []);
}

async function openLocal(local_neuron: Record<string, unknown> = {}): Promise<TestGateway> {
  const port = await unusedPort();
  const cortex = { local_neuron: { port, ...local_neuron }, poll: { interval_s: 0.05 } };
  return openGateway({ cortex, neuronScript });
}

const isReady = (gateway: TestGateway) =>
  gateway.lines.some((line) => line.startsWith("ready: demo answers on"));

test("it starts, its lines are told apart, it answers, it ends with the gateway", async () => {
  const gateway = await openLocal();
  await until(() => isReady(gateway));
  expect(gateway.lines).toContain("neuron | loading demo");
  expect(gateway.lines.at(-1)).toBe(
    `  curl ${gateway.url}/v1/chat/completions -H 'content-type: application/json' -d '{"model":"demo","messages":[{"role":"user","content":"Hello"}]}'`,
  );
  const [pid] = pids(gateway);
  const answer = (await (await post(gateway, chat)).json()) as {
    choices: { message: { content: string } }[];
  };
  expect(answer.choices[0]!.message.content).toBe(`from ${pid}`);
  await gateway.stop();
  expect(isAlive(pid!)).toBe(false);
});

test("the model of the configuration is passed on, and a taken port avoided", async () => {
  const taken = createServer();
  const port = await unusedPort();
  await new Promise<void>((resolve) => taken.listen(port, "127.0.0.1", resolve));
  const gateway = await openLocal({ model: "other", port });
  await until(() => gateway.lines.some((line) => line.startsWith("ready: other answers")));
  expect(gateway.gateway.fleet.neuron("local").endpoint).not.toBe(`http://127.0.0.1:${port}`);
  expect((await post(gateway, { ...chat, model: "other" })).status).toBe(200);
  taken.close();
});

test("one that dies is started again; meanwhile 503, not an error of ours", async () => {
  const gateway = await openLocal();
  await until(() => isReady(gateway));
  const fleet = gateway.gateway.fleet;
  await fetch(`${fleet.neuron("local").endpoint}/crash`).catch(() => {});
  await until(() => fleet.neuron("local").state !== "healthy");
  const response = await post(gateway, chat);
  expect([response.status, response.headers.get("retry-after")]).toEqual([503, "5"]);
  await until(() => fleet.neuron("local").state === "healthy");
  expect(new Set(pids(gateway)).size).toBe(2);
  expect((await post(gateway, chat)).status).toBe(200);
  expect(gateway.logs.find((line) => line.event === "local neuron ended")).toMatchObject({
    how: "exit code 4",
  });
  expect(gateway.fatal).toEqual([]);
});

test("one that never comes up is given up, with a word on why", async () => {
  process.env.FAKE_NEURON = "crash";
  const gateway = await openLocal();
  await until(() => gateway.fatal.length > 0);
  expect(gateway.fatal).toEqual([
    "the local neuron ended 3 times before it was up, last with exit code 3; see its lines above",
  ]);
  expect(pids(gateway).length).toBe(3);
});

test("one that does not heed SIGTERM is killed", async () => {
  process.env.FAKE_NEURON = "deaf";
  const gateway = await openLocal();
  await until(() => isReady(gateway));
  const [pid] = pids(gateway);
  const before = performance.now();
  await gateway.stop();
  expect(isAlive(pid!)).toBe(false);
  expect(performance.now() - before).toBeGreaterThan(4000);
});

test("a missing program is one clear error", async () => {
  const missing = openGateway({ neuronScript: "/nowhere/main.js" });
  await expect(missing).rejects.toThrow("/nowhere/main.js is missing: `npm run build` makes it");
});
