import { Ajv2020 } from "ajv/dist/2020.js";
import { afterAll, beforeAll, expect, test } from "vitest";
import { expectSameRoutes, expectValid } from "../kit/openapi.fixture.ts";
import { emptyModelFolder, events, json, post, startDaemon } from "./daemon.fixture.ts";
import type { Daemon, Json } from "./daemon.fixture.ts";
import { neuronApi, operations } from "./openapi.ts";
import { Models } from "./models.ts";
import { FakeEngine } from "./fake-engine.fixture.ts";
import { createLog } from "./log.ts";
import { buildServer } from "./server.ts";

let daemon: Daemon;
beforeAll(async () => {
  daemon = await startDaemon();
});
afterAll(() => daemon.close());

test("the document is valid, and served", async () => {
  const document = neuronApi();
  await expectValid(document);
  expect(await json(fetch(`${daemon.url}/openapi.json`))).toEqual(JSON.parse(JSON.stringify(document)));
});

test("an operation for each route, a route for each operation", () => {
  const engine = new FakeEngine();
  const app = buildServer({
    ...{ engine, models: new Models(engine, () => Promise.reject(new Error("no hub"))) },
    memory: () => ({ totalMb: null, usedMb: null, freeMb: null }),
    log: createLog({ level: "silent", json: false }),
    ...{ stop: new AbortController().signal, keepaliveMs: 1000, stallMs: 1000, bodyBytes: 1000 },
  });
  expectSameRoutes(app.routeList, operations);
});

/** The schema that the document gives for what an operation takes or answers. */
function schemaFor(
  path: string,
  method: string,
  type: "request" | "text/event-stream" | "application/json",
): object {
  const operation = (neuronApi() as Json).paths[path][method];
  const content = type === "request" ? operation.requestBody.content : operation.responses[200].content;
  return content[type === "request" ? "application/json" : type].schema as object;
}

function expectFits(schema: object, value: unknown): void {
  const validate = new Ajv2020({ strict: false }).compile(schema);
  expect(validate(value) ? [] : validate.errors).toEqual([]);
}

test("answers are what the document says", async () => {
  const chat = { model: "org/fake", messages: [{ role: "user", content: "Hi" }], stop: ["x"], n: 2 };
  const url = `${daemon.url}/v1/chat/completions`;
  expectFits(schemaFor("/v1/chat/completions", "post", "request"), chat);
  const whole = await json(post(url, chat));
  expectFits(schemaFor("/v1/chat/completions", "post", "application/json"), whole);
  const chunk = schemaFor("/v1/chat/completions", "post", "text/event-stream");
  const stream = await (await post(url, { ...chat, n: 1, stream: true })).text();
  for (const event of events(stream)) if (event !== "[DONE]") expectFits(chunk, event);
  const text = await json(post(`${daemon.url}/v1/completions`, { model: "org/fake", prompt: [1, 2] }));
  expectFits(schemaFor("/v1/completions", "post", "application/json"), text);
  for (const path of ["/v1/models", "/models", "/health", "/discovery", "/version"])
    expectFits(schemaFor(path, "get", "application/json"), await json(fetch(daemon.url + path)));
  const folder = emptyModelFolder("more");
  const loaded = await json(post(`${daemon.url}/models/load`, { model_id: folder }));
  expectFits(schemaFor("/models/load", "post", "application/json"), loaded);
});

test.each<[string, object, string]>([
  ["/v1/chat/completions", { model: "m" }, "no messages"],
  ["/v1/chat/completions", { model: "m", messages: [{ role: "user" }], temperature: 3 }, "too hot"],
  ["/v1/chat/completions", { model: "m", messages: [{ role: "user", content: 5 }] }, "content of a number"],
  ["/models/load", { model_id: "m", colour: "red" }, "an unknown key"],
])("%s %j does not fit: %s", (path, body: object, _why) => {
  const validate = new Ajv2020({ strict: false }).compile(schemaFor(path, "post", "request"));
  expect(validate(body)).toBe(false);
});

test.each(["text", [1, 2], ["a", "b"], [[1], [2]]])("a prompt may be %j", (prompt) => {
  expectFits(schemaFor("/v1/completions", "post", "request"), { model: "m", prompt });
});
