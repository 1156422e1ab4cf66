// /v1/embeddings over a fake engine, asked by hand and by OpenAI's client.
import OpenAI from "openai";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { EngineError } from "../engine/errors.ts";
import { json, post, startDaemon } from "./daemon.fixture.ts";
import type { Daemon } from "./daemon.fixture.ts";
import { principalHeader } from "./protocol.ts";

let daemon: Daemon;
beforeAll(async () => {
  daemon = await startDaemon();
});
afterAll(() => daemon.close());
const vectors = [Float32Array.of(0.25, -0.5, 0.125), Float32Array.of(1, 0, -3)];
beforeEach(() => {
  daemon.model.embeddings = { vectors, promptTokens: 11 };
  daemon.model.embedded.length = 0;
});

const embed = (body: object) => post(`${daemon.url}/v1/embeddings`, { model: "org/fake", ...body });

test("a list of vectors, and what they cost", async () => {
  expect(await json(embed({ input: ["one", "two"], user: "ada" }))).toEqual({
    object: "list",
    data: [
      { object: "embedding", index: 0, embedding: [0.25, -0.5, 0.125] },
      { object: "embedding", index: 1, embedding: [1, 0, -3] },
    ],
    model: "org/fake",
    usage: { prompt_tokens: 11, total_tokens: 11 },
  });
  const metrics = await (await fetch(`${daemon.url}/metrics`)).text();
  expect(metrics).toContain('neuron_requests_total{model="org/fake",endpoint="embeddings",outcome="stop"} 1');
});

test.each([
  ["a text", "one", ["one"]],
  ["texts", ["one", "two"], ["one", "two"]],
  ["token ids", [5, 6], [[5, 6]]],
  ["lists of token ids", [[5], [6, 7]], [[5], [6, 7]]],
])("input: %s", async (_, input, inputs) => {
  expect((await embed({ input, dimensions: 2 })).status).toBe(200);
  expect(daemon.model.embedded).toEqual([{ inputs, dimensions: 2 }]);
});

test("base64 is what OpenAI's client asks for and reads", async () => {
  const raw = (await json(embed({ input: "one", encoding_format: "base64" }))).data[0].embedding as string;
  expect(Buffer.from(raw, "base64").toString("hex")).toBe("0000803e000000bf0000003e");
  const client = new OpenAI({ baseURL: `${daemon.url}/v1`, apiKey: "any" });
  const { data } = await client.embeddings.create({ model: "org/fake", input: ["one", "two"] });
  expect(data.map(({ embedding }) => embedding)).toEqual(vectors.map((vector) => [...vector]));
});

test("the engine hears on whose behalf", async () => {
  const headers = { "content-type": "application/json", [principalHeader]: "ada" };
  const body = JSON.stringify({ model: "org/fake", input: "one" });
  await json(fetch(`${daemon.url}/v1/embeddings`, { method: "POST", headers, body }));
  expect(daemon.model.embedded).toEqual([{ inputs: ["one"], principal: "ada" }]);
});

test.each([
  [{ input: [] }, "bad_request", "input"],
  [{ input: "" }, "bad_request", "input"],
  [{ input: ["a", 5] }, "bad_request", "input.1"],
  [{ input: [5, -1] }, "bad_request", "input.1"],
  [{}, "bad_request", "input"],
  [{ input: "a", dimensions: 0 }, "bad_request", "dimensions"],
  [{ input: "a", encoding_format: "int8" }, "bad_request", "encoding_format"],
  [{ input: "a", truncate: "END" }, "unsupported_parameter", "truncate"],
])("%j is refused by name", async (body, code, param) => {
  const answer = await embed(body);
  expect([answer.status, (await json(answer)).error]).toMatchObject([400, { code, param }]);
  expect(daemon.model.embedded).toEqual([]);
});

test("what the engine refuses has its status", async () => {
  daemon.model.embeddings = new EngineError("queue_full", "many wait", { retryAfter: 9 });
  const answer = await embed({ input: "a" });
  expect([answer.status, answer.headers.get("retry-after")]).toEqual([503, "9"]);
  expect((await embed({ model: "other", input: "a" })).status).toBe(404);
});
