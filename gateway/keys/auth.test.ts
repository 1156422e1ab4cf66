import { writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import Fastify from "fastify";
import type { Door } from "./auth.ts";
import { callerOf, guardRoutes, mayUse } from "./auth.ts";
import type { GatewayError } from "../errors.ts";
import type { TestGateway } from "../fixtures/gateway.fixture.ts";
import {
  chat,
  errorOf,
  keyFor,
  openGateway,
  openNeuron,
  post,
  until,
  writeKeys,
} from "../fixtures/gateway.fixture.ts";
import { KeyRing, mintKey } from "./keys.ts";
import { delta, done, finish, json, openStream, role, usageChunk } from "../fixtures/mock-neuron.fixture.ts";

const required = { auth: { mode: "required" } };

async function guarded(...keys: ReturnType<typeof keyFor>[]) {
  const neuron = await openNeuron("demo", "other");
  const gateway = await openGateway({
    ...{ neurons: { a: neuron }, cortex: required, keys: keys.map(({ key }) => key) },
    models: { aliases: { small: "demo" } },
  });
  return { neuron, gateway };
}

const requestLines = (gateway: TestGateway) => gateway.logs.filter(({ event }) => event === "request");

test("a key opens the door as a bearer token and as x-api-key; its name goes to the neuron and the log, it does not", async () => {
  const alice = keyFor("alice");
  const { neuron, gateway } = await guarded(alice, keyFor("bob"));
  const anthropic = { "x-api-key": alice.text, "anthropic-version": "2023-06-01" };
  expect((await post(gateway, chat, { headers: alice.headers })).status).toBe(200);
  expect((await post(gateway, chat, { headers: { "x-api-key": alice.text } })).status).toBe(200);
  const stale = { ...anthropic, authorization: "Bearer stale", "x-cortex-principal": "root" };
  expect(
    (await post(gateway, { ...chat, max_tokens: 5 }, { path: "/v1/messages", headers: stale })).status,
  ).not.toBe(401);
  expect(neuron.requests.map(({ headers }) => headers["x-cortex-principal"])).toEqual([
    "alice",
    "alice",
    "alice",
  ]);
  await until(() => requestLines(gateway).length === 3);
  expect(requestLines(gateway).every(({ principal }) => principal === "alice")).toBe(true);
  const told = JSON.stringify([gateway.logs, neuron.requests.map(({ headers }) => headers)]);
  expect(told).not.toContain(alice.text.slice(17));
  expect(told).not.toContain("Hello");
});

test.each([
  ["no key", {}, "An API key is needed: send it as 'Authorization: Bearer …' or as 'x-api-key'."],
  ["nobody's key", { authorization: `Bearer ${keyFor("x").text}` }, "The API key is not valid."],
  [
    "another scheme",
    { authorization: "Basic YTpi" },
    "An API key is needed: send it as 'Authorization: Bearer …' or as 'x-api-key'.",
  ],
])("%s is refused in the caller's dialect, before the body is read", async (_, headers, message) => {
  const { neuron, gateway } = await guarded(keyFor("alice"));
  const openai = await post(gateway, "not even JSON", { headers });
  expect([openai.status, openai.headers.get("x-should-retry")]).toEqual([401, "false"]);
  expect(await errorOf(openai)).toEqual({
    message,
    type: "invalid_request_error",
    code: "invalid_api_key",
    param: null,
  });
  const messages = await post(gateway, chat, { path: "/v1/messages", headers });
  expect(messages.status).toBe(401);
  expect(await messages.json()).toMatchObject({
    type: "error",
    error: { type: "authentication_error", message },
  });
  expect(neuron.requests).toEqual([]);
  await until(() => requestLines(gateway).length === 2);
  expect(requestLines(gateway)[0]).toMatchObject({ status: 401, error: "invalid_api_key" });
});

test("every route asks for a key but the page, health, and what does not exist", async () => {
  const { gateway } = await guarded(keyFor("alice"));
  const status = async (method: string, path: string) =>
    (await fetch(gateway.url + path, { method, ...(method === "POST" && { body: "{}" }) })).status;
  const closed = [
    ...["GET /v1/models", "GET /v1/models/demo", "GET /api/fleet", "GET /v1/responses/resp_1"],
    ...[
      "DELETE /v1/responses/resp_1",
      "GET /v1/responses/resp_1/input_items",
      "POST /v1/responses/resp_1/cancel",
    ],
    ...["POST /v1/chat/completions", "POST /v1/completions", "POST /v1/embeddings", "POST /v1/messages"],
    ...[
      "POST /v1/messages/count_tokens",
      "POST /v1/responses",
      "POST /v1/responses/input_tokens",
      "HEAD /v1/models",
    ],
  ];
  for (const route of closed)
    expect([route, await status(...(route.split(" ") as [string, string]))]).toEqual([route, 401]);
  for (const route of ["GET /", "GET /health"])
    expect([route, await status(...(route.split(" ") as [string, string]))]).toEqual([route, 200]);
  expect(await status("GET", "/nothing")).toBe(404);
});

test("a route that says nothing of itself asks for a key; an admin's for an admin's, and for no other site's page", async () => {
  const [alice, root] = [keyFor("alice"), keyFor("root", { admin: true })];
  const door: Door = { mode: "required", keys: () => new KeyRing([alice.key, root.key]) };
  const app = Fastify();
  app.decorateRequest("exchange", null);
  app.setErrorHandler((error, _, reply) => reply.code((error as GatewayError).kind.status).send());
  guardRoutes(app, door);
  await app.register(async (room) => {
    room.get("/new", async () => "ok");
    room.get("/open", { config: { access: "open" } }, async () => "ok");
    room.post("/admin", { config: { access: "admin" } }, async () => "ok");
  });
  const status = async (method: "GET" | "HEAD" | "POST", url: string, headers: Record<string, string> = {}) =>
    (await app.inject({ method, url, headers: { host: "gate:1", ...headers } })).statusCode;
  expect([await status("GET", "/new"), await status("HEAD", "/new"), await status("GET", "/open")]).toEqual([
    401, 401, 200,
  ]);
  expect([await status("GET", "/new", alice.headers), await status("POST", "/admin")]).toEqual([200, 401]);
  expect(await status("POST", "/admin", alice.headers)).toBe(403);
  expect(await status("POST", "/admin", root.headers)).toBe(200);
  door.mode = "off";
  for (const [headers, want] of [
    [{}, 200],
    [{ origin: "http://gate:1" }, 200],
    [{ origin: "http://evil" }, 403],
    [{ "sec-fetch-site": "same-origin", origin: "https://behind-a-proxy" }, 200],
    [{ "sec-fetch-site": "cross-site" }, 403],
    [{ "sec-fetch-site": "none" }, 200],
  ] as const)
    expect([headers, await status("POST", "/admin", headers as Record<string, string>)]).toEqual([
      headers,
      want,
    ]);
});

test("a key is held to its models, by id or alias, in the list too", async () => {
  const alice = keyFor("alice", { models: ["small"] });
  const { gateway } = await guarded(alice);
  const { headers } = alice;
  for (const model of ["demo", "small"])
    expect((await post(gateway, { ...chat, model }, { headers })).status).toBe(200);
  const refused = await post(gateway, { ...chat, model: "other" }, { headers });
  expect([refused.status, refused.headers.get("x-should-retry")]).toEqual([403, "false"]);
  expect(await errorOf(refused)).toMatchObject({
    ...{ code: "permission_denied", param: "model", message: "This API key may not use the model 'other'." },
  });
  const anthropic = await post(
    gateway,
    { ...chat, model: "other", max_tokens: 3 },
    { path: "/v1/messages", headers },
  );
  expect([anthropic.status, ((await anthropic.json()) as { error: object }).error]).toMatchObject([
    403,
    { type: "permission_error" },
  ]);
  const counted = { path: "/v1/messages/count_tokens", headers };
  expect((await post(gateway, { ...chat, model: "other" }, counted)).status).toBe(403);
  const list = (await (await fetch(`${gateway.url}/v1/models`, { headers })).json()) as {
    data: { id: string }[];
  };
  expect(list.data.map(({ id }) => id)).toEqual(["demo", "small"]);
  expect((await fetch(`${gateway.url}/v1/models/other`, { headers })).status).toBe(404);
});

test("one caller's stored responses do not exist for another", async () => {
  const [alice, bob] = [keyFor("alice"), keyFor("bob")];
  const { neuron, gateway } = await guarded(alice, bob);
  neuron.answer = (_, response) => {
    openStream(response);
    response.end(role + delta("hi") + finish + usageChunk(5, 1, 0) + done);
  };
  const body = { model: "demo", input: "Hello" };
  const made = await post(gateway, body, { path: "/v1/responses", headers: alice.headers });
  const { id } = (await made.json()) as { id: string };
  const at = `${gateway.url}/v1/responses/${id}`;
  expect((await fetch(at, { headers: bob.headers })).status).toBe(404);
  expect((await fetch(at, { method: "DELETE", headers: bob.headers })).status).toBe(404);
  const forged = `${gateway.url}/v1/responses/${alice.key.id}.${id}`;
  expect((await fetch(forged, { headers: bob.headers })).status).toBe(404);
  const more = { ...body, previous_response_id: id };
  expect((await post(gateway, more, { path: "/v1/responses", headers: bob.headers })).status).toBe(400);
  expect((await post(gateway, more, { path: "/v1/responses", headers: alice.headers })).status).toBe(200);
  expect((await fetch(at, { headers: alice.headers })).status).toBe(200);
});

test("one caller's threads do not exist for another, neither to go on with nor to count", async () => {
  const [alice, bob] = [keyFor("alice"), keyFor("bob")];
  const { neuron, gateway } = await guarded(alice, bob);
  neuron.answer = ({ path }, response) => {
    if (path.endsWith("/input_tokens")) return json(response, 200, { input_tokens: 7 });
    openStream(response);
    response.end(role + delta("hi") + finish + usageChunk(5, 1, 0) + done);
  };
  const path = "/v1/messages";
  const body = { model: "demo", max_tokens: 8, messages: [{ role: "user", content: "Hello" }] };
  const begun = { ...body, thread: { type: "create" } };
  const made = await post(gateway, begun, { path, headers: alice.headers });
  const { id } = (await made.json()) as { id: string };
  const further = (message: string) => ({
    ...body,
    thread: { type: "continue", previous_message_id: message },
  });
  const ask = async ({ headers }: typeof alice, message = id, where = path) =>
    (await post(gateway, further(message), { path: where, headers })).status;
  expect([await ask(bob), await ask(bob, `${alice.key.id}.${id}`)]).toEqual([404, 404]);
  expect(await ask(bob, id, `${path}/count_tokens`)).toBe(404);
  expect(await ask(alice, id, `${path}/count_tokens`)).toBe(200);
  expect(await ask(alice)).toBe(200);
});

test("a key that is revoked is refused soon, and a file that cannot be read leaves the keys as they are", async () => {
  const [alice, bob] = [keyFor("alice"), keyFor("bob")];
  const keysFile = writeKeys([alice.key, bob.key]);
  const gateway = await openGateway({ neurons: { a: await openNeuron("demo") }, cortex: required, keysFile });
  const list = async ({ headers }: typeof alice) =>
    (await fetch(`${gateway.url}/v1/models`, { headers })).status;
  expect([await list(alice), await list(bob)]).toEqual([200, 200]);
  writeFileSync(keysFile, "{ nonsense");
  const isTold = () => gateway.logs.some(({ event }) => String(event).startsWith("keys not read"));
  while (!isTold()) expect(await list(alice)).toBe(200); // they are looked at when somebody asks
  expect([await list(alice), await list(bob)]).toEqual([200, 200]);
  writeFileSync(keysFile, JSON.stringify({ keys: [bob.key] }));
  while ((await list(alice)) !== 401) await new Promise((wake) => setTimeout(wake, 20));
  expect(await list(bob)).toBe(200);
});

test("with optional keys a known one is held to its limits, and others are served without", async () => {
  const alice = keyFor("alice", { models: ["other"] });
  const neuron = await openNeuron("demo", "other");
  const cortex = { auth: { mode: "optional" } };
  const gateway = await openGateway({ neurons: { a: neuron }, cortex, keys: [alice.key] });
  expect((await post(gateway, chat, { headers: alice.headers })).status).toBe(403);
  for (const headers of [{}, { authorization: "Bearer dummy" }])
    expect((await post(gateway, chat, { headers: headers as Record<string, string> })).status).toBe(200);
  expect(neuron.requests.map(({ headers }) => headers["x-cortex-principal"])).toEqual([undefined, undefined]);
});

test("without auth the keys file is not even read", async () => {
  const keysFile = writeKeys([]);
  writeFileSync(keysFile, "{ nonsense");
  const gateway = await openGateway({ neurons: { a: await openNeuron("demo") }, keysFile });
  expect((await post(gateway, chat, { headers: { authorization: "Bearer whatever" } })).status).toBe(200);
  await expect(openGateway({ cortex: required, keysFile })).rejects.toThrow("keys.json: is not JSON");
});

test.each([
  ["listens wide and asks for keys", "required", ["0.0.0.0:0", "127.0.0.1:0"], 0],
  ["asks for keys, but metrics are wide", "required", ["127.0.0.1:0", "0.0.0.0:0"], 1],
  ["listens wide and asks for none", "off", ["0.0.0.0:0", "0.0.0.0:0"], 2],
  ["takes everybody", "optional", ["0.0.0.0:0", "127.0.0.1:0"], 1],
  ["stays at home", "off", ["127.0.0.1:0", "127.0.0.1:0"], 0],
])("a gateway that %s", async (_, mode, [listen, metrics_listen], warnings) => {
  const neurons = { a: await openNeuron("demo") };
  const gateway = await openGateway({
    neurons,
    cortex: { auth: { mode }, gateway: { listen, metrics_listen } },
  });
  expect(gateway.lines.filter((line) => /nobody is asked for a key/.test(line)).length).toBe(warnings);
});

test("a ring finds a key by its whole text alone", () => {
  const made = [1, 2, 3].map((i) => mintKey({ name: `key${i}`, admin: false }));
  const ring = new KeyRing(made.map(({ key }) => key));
  for (const { text, key } of made) {
    expect(ring.find(text)).toEqual(key);
    const last = text.at(-1) === "A" ? "B" : "A";
    for (const wrong of [
      text.slice(0, -1) + last,
      `${text}x`,
      text.slice(0, 17),
      key.hash,
      "",
      text.replace("ctx-", ""),
    ])
      expect(ring.find(wrong)).toBeUndefined();
    expect(JSON.stringify(key)).not.toContain(text.slice(17));
  }
  expect(new Set(made.map(({ text }) => text)).size).toBe(3);
});

test("callers and models without a gateway", () => {
  const { text, key } = mintKey({ name: "a", admin: false, models: ["x"] });
  const keys = () => new KeyRing([key]);
  expect(callerOf({ mode: "off", keys }, { authorization: `Bearer ${text}` })).toBeNull();
  expect(callerOf({ mode: "required", keys }, { authorization: `bearer  ${text} ` })).toEqual(key);
  expect(callerOf({ mode: "optional", keys }, { "x-api-key": ` ${text}` })).toEqual(key);
  expect(callerOf({ mode: "optional", keys }, { "x-api-key": "other" })).toBeNull();
  expect([mayUse(key, "x", (name) => name), mayUse(key, "y", (name) => name)]).toEqual([true, false]);
});
