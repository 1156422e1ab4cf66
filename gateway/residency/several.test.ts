// Three gateways in front of four neurons, which share what they know through NATS, and somebody who kills them. Each is
// a process of its own.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { keyFor } from "../fixtures/gateway.fixture.ts";
import {
  chatAnswer,
  delta,
  done,
  finish,
  json,
  MockNeuron,
  openStream,
  role,
} from "../fixtures/mock-neuron.fixture.ts";
import { Keeper } from "../fixtures/lifecycle.fixture.ts";
import { hasNats, NatsServer } from "../store/nats/server.fixture.ts";
import { GatewayProcess } from "../fixtures/process.fixture.ts";

const models = ["m0", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "m9"];
const perMinute = 20;

describe.skipIf(!hasNats)("three gateways", { timeout: 180_000 }, () => {
  const nats = new NatsServer();
  const keepers: Keeper[] = [];
  const gateways: GatewayProcess[] = [];
  const folders: string[] = [];
  const limited = keyFor("limited", { requests_per_min: perMinute });
  const free = keyFor("free");

  beforeAll(async () => {
    await nats.start();
    for (let i = 0; i < 4; i += 1) keepers.push(await openNeuron());
    for (let i = 0; i < 3; i += 1) gateways.push(new GatewayProcess(configure()));
    await Promise.all(gateways.map((gateway) => gateway.start()));
    for (const gateway of gateways) await vi.waitFor(() => knowsAll(gateway), { timeout: 30_000 });
  }, 120_000);

  async function knowsAll({ url }: GatewayProcess): Promise<void> {
    const health = await (await fetch(`${url}/health`, { headers: free.headers })).json();
    expect(health).toMatchObject({ status: "ok", neurons: { healthy: keepers.length } });
  }

  afterAll(async () => {
    await Promise.all(gateways.map((gateway) => gateway.kill()));
    await Promise.all(keepers.map(({ neuron }) => neuron.kill()));
    await nats.remove();
    for (const folder of folders) rmSync(folder, { recursive: true, force: true });
  });

  /** Room for two models; it answers with the model's name, and only if it has it. */
  async function openNeuron(): Promise<Keeper> {
    const neuron = await new MockNeuron().listen();
    neuron.totalMb = 2;
    neuron.answer = (request, response) => {
      const { model, stream } = JSON.parse(request.body) as { model: string; stream?: boolean };
      if (neuron.models.get(model)?.status === "loaded") {
        if (!stream) return json(response, 200, chatAnswer(model, 1));
        openStream(response);
        return response.end(role + delta(model) + finish + done);
      }
      json(response, 404, { error: { message: "no", type: "x", param: null, code: "model_not_found" } });
    };
    return new Keeper(neuron);
  }

  function configure(): string {
    const folder = mkdtempSync(join(tmpdir(), "several-"));
    folders.push(folder);
    const neurons = keepers.map(
      ({ neuron }, i) => `[[neurons]]\nname = "n${i}"\nendpoint = "${neuron.url}"\n`,
    );
    const keys = join(folder, "keys.json");
    writeFileSync(keys, JSON.stringify({ keys: [limited.key, free.key] }));
    const settings = [
      `state = "${nats.url}"`,
      `[auth]\nmode = "required"\nkeys_file = "${keys}"`,
      "[poll]\ninterval_s = 0.3\nloading_interval_s = 0.1",
      ...neurons,
    ];
    writeFileSync(join(folder, "cortex.toml"), settings.join("\n"));
    writeFileSync(join(folder, "models.toml"), models.map((id) => `[[models]]\nid = "${id}"\n`).join("\n"));
    return folder;
  }

  function ask(gateway: GatewayProcess, path: string, body?: object, key = free.text): Promise<Response> {
    return fetch(gateway.url + path, {
      ...(body && { method: "POST", body: JSON.stringify(body) }),
      headers: { "content-type": "application/json", authorization: `Bearer ${key}` },
    });
  }

  const chat = (model: string) => ({ model, messages: [{ role: "user", content: "Who are you?" }] });

  test("ten who want one model at three doors get it by one load", async () => {
    const asked = Array.from({ length: 10 }, (_, i) =>
      ask(gateways[i % 3]!, "/v1/chat/completions", chat("m0")),
    );
    const answers = await Promise.all(asked);
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    expect(keepers.flatMap(({ told }) => told).filter((line) => line === "load m0")).toHaveLength(1);
  });

  test("a key's limit holds for all doors together", async () => {
    const asked = Array.from({ length: 2 * perMinute }, (_, i) =>
      ask(gateways[i % 3]!, "/v1/chat/completions", chat("m0"), limited.text),
    );
    const statuses = (await Promise.all(asked)).map(({ status }) => status);
    expect(statuses.filter((status) => status === 200)).toHaveLength(perMinute);
    expect(statuses.filter((status) => status === 429)).toHaveLength(perMinute);
  });

  test("what one has stored, another tells when that one is dead", async () => {
    const made = await ask(gateways[0]!, "/v1/responses", { model: "m0", input: "Remember 42." });
    const { id, ...rest } = (await made.json()) as { id: string };
    expect(rest).toMatchObject({ status: "completed" });
    await gateways[0]!.kill();
    const told = await ask(gateways[1]!, `/v1/responses/${id}`);
    expect(await told.json()).toMatchObject({ id, status: "completed" });
    const next = await ask(gateways[2]!, "/v1/responses", {
      ...{ model: "m0", input: "What was it?", previous_response_id: id },
    });
    expect(next.status).toBe(200);
    await gateways[0]!.start();
  });

  test("killed at any moment, a gateway loses its own requests and nothing else", async () => {
    const outcomes = { right: 0, later: 0, cut: 0 };
    const wrong: string[] = [];
    const until = performance.now() + 12_000;
    let killing = true;
    const client = async (seed: number) => {
      for (let n = seed; performance.now() < until; n += 7) {
        const gateway = gateways[n % 3]!;
        const model = models[(n * 5) % models.length]!;
        if (!gateway.alive) await new Promise((wake) => setTimeout(wake, 50));
        try {
          const answer = await ask(gateway, "/v1/chat/completions", chat(model));
          const text = await answer.text();
          if (answer.status === 200 && text.includes(`"content":"${model}"`)) outcomes.right += 1;
          else if (answer.status === 503 && answer.headers.has("retry-after")) outcomes.later += 1;
          else wrong.push(`${model}: ${answer.status} ${text.slice(0, 300)}`);
        } catch {
          outcomes.cut += 1;
          await new Promise((wake) => setTimeout(wake, 20));
        }
      }
    };
    const killer = async () => {
      for (let n = 0; killing; n += 1) {
        await new Promise((wake) => setTimeout(wake, 700));
        await gateways[n % 3]!.kill();
        await gateways[n % 3]!.start();
      }
    };
    const killed = killer();
    await Promise.all(Array.from({ length: 6 }, (_, seed) => client(seed)));
    killing = false;
    await killed;
    expect(wrong).toEqual([]);
    expect(outcomes.right, JSON.stringify(outcomes)).toBeGreaterThan(20);
    expect(Math.max(...keepers.map(({ most }) => most)), "loads at once on one neuron").toBe(1);
    // Afterwards every door gives every model: no lease was left for good.
    for (const [i, model] of models.entries())
      await vi.waitFor(
        async () =>
          expect((await ask(gateways[i % 3]!, "/v1/chat/completions", chat(model))).status).toBe(200),
        { timeout: 40_000, interval: 500 },
      );
  });
});
