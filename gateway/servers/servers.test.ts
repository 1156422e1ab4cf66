import { expect, test } from "vitest";
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
import { answerJson, chatRoute, openServer, streams } from "./server.fixture.ts";

const event = (value: object) => `data: ${JSON.stringify(value)}\n\n`;
const delta = (said: object, more: object = {}) => event({ choices: [{ delta: said, ...more }] });
/** As Ollama streams: reasoning by its other name, whole calls, no end of its own words. */
const ollama = streams(
  ...[delta({ role: "assistant", content: "", reasoning: "hm" }), delta({ content: "hi" })],
  delta({ tool_calls: [{ id: "c1", index: 0, function: { name: "a", arguments: { x: 1 } } }] }),
  delta(
    { tool_calls: [{ id: "c2", index: 0, function: { name: "b", arguments: "{}" } }] },
    { finish_reason: "stop" },
  ),
  event({ choices: [], usage: { prompt_tokens: 21, completion_tokens: 9, total_tokens: 30 } }),
  "data: [DONE]\n\n",
);
const answered = {
  choices: [{ message: { role: "assistant", content: "hi" } }],
  usage: { prompt_tokens: 4, completion_tokens: 1 },
};

async function open(
  routes: Parameters<typeof openServer>[1],
  models: object = { data: [{ id: "demo.gguf" }] },
) {
  const server = await openServer(models, routes);
  const servers = { other: { url: `${server.url}/v1`, api_key: "s3cret", models: { demo: "demo.gguf" } } };
  return { server, gateway: await openGateway({ servers }) };
}

test.each<[string, object, object]>([
  [
    "llama.cpp",
    { object: "list", data: [{ id: "m", meta: { n_ctx: 4096, n_ctx_train: 32768, size: 1 } }] },
    { max_model_len: 4096 },
  ],
  ["vLLM", { data: [{ id: "m", max_model_len: 8192, permission: [] }] }, { max_model_len: 8192 }],
  ["LM Studio", { data: [{ id: "m", max_context_length: 2048 }] }, { max_model_len: 2048 }],
  ["Ollama", { object: "list", data: [{ id: "m", created: 1, owned_by: "library" }] }, { loaded: true }],
  ["lengths that make no sense", { data: [{ id: "m", max_model_len: "?", meta: 7 }] }, { loaded: true }],
  [
    "OpenRouter",
    { data: [{ id: "m", context_length: 4096, architecture: { input_modalities: ["text", "image"] } }] },
    { max_model_len: 4096, capabilities: ["text", "vision"] },
  ],
  ["words of its own", { data: [{ id: "m", capabilities: ["chat"], limit: 7 }] }, { capabilities: ["text"] }],
])("the models of %s are listed", async (_, models, want) => {
  const { gateway } = await open({}, models);
  const list = (await (await fetch(`${gateway.url}/v1/models`)).json()) as { data: object[] };
  expect(list.data).toEqual([
    expect.objectContaining({ id: "m", ...want, locations: [{ neuron: "other", status: "loaded" }] }),
  ]);
});

test("a gateway stands among the servers of another: what it knows of its models is known there, and it counts", async () => {
  const neuron = await openNeuron("demo");
  neuron.models.set("demo", {
    ...{ status: "loaded", capabilities: ["text", "vision"], reasoning: true },
    limit: { context: 4096, output: 512 },
  });
  const behind = await openGateway({ neurons: { a: neuron }, models: { aliases: { small: "demo" } } });
  const front = await openGateway({ servers: { behind: { url: behind.url } } });
  const listed = (await (await fetch(`${front.url}/v1/models/demo`)).json()) as object;
  expect(listed).toMatchObject({
    ...{ capabilities: ["text", "vision"], reasoning: true, tool_call: true },
    limit: { context: 4096, output: 512 },
  });
  neuron.answer = (_, response) => answerJson(response, 200, { input_tokens: 77 });
  const path = "/v1/messages/count_tokens";
  const count = await post(front, { model: "small", messages: chat.messages }, { path });
  expect(await count.json()).toEqual({ input_tokens: 77 });
  expect(
    neuron.requests.map(({ path, body }) => [path, (JSON.parse(body) as { model: string }).model]),
  ).toEqual([["/v1/chat/completions/input_tokens", "demo"]]);
  await until(() => behind.logs.some(({ event }) => event === "request"));
  expect(behind.logs.find(({ event }) => event === "request")).toMatchObject({ status: 200, neuron: "a" });
});

test("a request goes out under the server's own name and key, with nothing of ours or the client's", async () => {
  const { server, gateway } = await open({
    [chatRoute]: (_, r) => answerJson(r, 200, answered, { "set-cookie": "a=1" }),
  });
  const body = { ...chat, model: "demo", seed: 1, messages: [{ role: "developer", content: "x" }] };
  const headers = {
    authorization: "Bearer mine",
    "x-session-id": "s",
    "user-agent": "me",
    "x-request-id": "r1",
  };
  const response = await post(gateway, body, { headers });
  expect([
    response.status,
    response.headers.get("set-cookie"),
    response.headers.get("x-cortex-neuron"),
  ]).toEqual([200, null, "other"]);
  expect(await response.json()).toMatchObject({
    ...{ model: "demo", object: "chat.completion", id: expect.stringMatching(/^chatcmpl-/) },
    choices: [{ index: 0, message: { content: "hi" }, finish_reason: "stop" }],
  });
  const [asked] = server.asked;
  expect(asked!.body).toEqual({ ...body, model: "demo.gguf", messages: [{ role: "system", content: "x" }] });
  expect(asked!.headers).toMatchObject({ authorization: "Bearer s3cret", "x-request-id": "r1" });
  expect(Object.keys(asked!.headers).sort()).toEqual([
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "host",
    "x-request-id",
  ]);
});

test("Anthropic's clients hear how long the prompt is before the first word, where the server knows", async () => {
  const { server, gateway } = await open({ "POST /tokenize": (_, r) => answerJson(r, 200, { count: 43 }) });
  let heard = false;
  server.routes[chatRoute] = async (_, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    while (!heard) {
      response.write(delta({ role: "assistant", content: "" })); // as vLLM does at once
      await new Promise((wake) => setTimeout(wake, 5));
    }
    response.end(delta({ content: "hi" }, { finish_reason: "stop" }) + "data: [DONE]\n\n");
  };
  const response = await post(gateway, { ...chat, max_tokens: 9, stream: true }, { path: "/v1/messages" });
  let text = "";
  for await (const bytes of response.body!) {
    text += Buffer.from(bytes).toString();
    heard ||= text.includes("message_start");
  }
  expect(/"type":"message_start".*?"input_tokens":(\d+)/.exec(text)?.[1]).toBe("43");
  expect(text).toMatch(/"text":"hi"[^]*message_stop/);
  const [asked] = server.asked.filter(({ path }) => path === "/v1/chat/completions");
  expect(asked!.body).not.toHaveProperty("stream_options.prompt_usage");
});

test("a server that cannot say how long a prompt is is not asked each time", async () => {
  const { server, gateway } = await open({ [chatRoute]: ollama });
  const message = () => post(gateway, { ...chat, max_tokens: 9, stream: true }, { path: "/v1/messages" });
  await (await message()).text();
  await until(async () => {
    const before = server.asked.length;
    await (await message()).text();
    return server.asked.length === before + 1;
  });
  expect(server.asked.map(({ path }) => path)).toContain("/tokenize");
});

test("but one that only would not count this prompt is asked for the next", async () => {
  const { server, gateway } = await open({
    [chatRoute]: ollama,
    "POST /v1/chat/completions/input_tokens": (_, r) =>
      answerJson(r, 400, { error: { message: "too long" } }),
  });
  const message = () => post(gateway, { ...chat, max_tokens: 9, stream: true }, { path: "/v1/messages" });
  const counts = () => server.asked.filter(({ path }) => path.endsWith("/input_tokens")).length;
  await (await message()).text();
  await until(() => counts() === 1);
  await (await message()).text();
  await until(() => counts() === 2);
  expect(server.asked.map(({ path }) => path)).not.toContain("/tokenize");
});

test("who does not ask for the prompt's length costs the server no count", async () => {
  const { server, gateway } = await open({ [chatRoute]: ollama });
  const stream_options = { include_usage: true, prompt_usage: false };
  await (await post(gateway, { ...chat, model: "demo", stream: true, stream_options })).text();
  expect(server.asked.map(({ path }) => path)).toEqual(["/v1/chat/completions"]);
});

test("a stream of Ollama's is whole for a chat, and its usage is metered", async () => {
  const { gateway } = await open({ [chatRoute]: ollama });
  const text = await (await post(gateway, { ...chat, model: "demo", stream: true })).text();
  expect(text).toMatch(/"reasoning_content":"hm"/);
  expect(text).toMatch(/"index":1,"id":"c2"/);
  expect(text).toMatch(/"finish_reason":"tool_calls"/);
  expect(text).not.toMatch(/"usage":/); // the client did not ask for it
  expect(text.endsWith("data: [DONE]\n\n")).toBe(true);
  expect(await samples(gateway, "cortex_completion_tokens_total")).toEqual({
    '{model="demo",neuron="other"}': 9,
  });
});

test("the same stream is a message of Anthropic's, and a response", async () => {
  const { server, gateway } = await open({ [chatRoute]: ollama });
  const message = await post(gateway, { ...chat, max_tokens: 50 }, { path: "/v1/messages" });
  expect(await message.json()).toMatchObject({
    ...{ stop_reason: "tool_use", usage: { input_tokens: 21, output_tokens: 9 } },
    content: [
      { type: "text", text: "hi" },
      { type: "tool_use", id: "c1", name: "a", input: { x: 1 } },
      { type: "tool_use", id: "c2", name: "b", input: {} },
    ],
  });
  const response = await post(gateway, { model: "demo", input: "Hello" }, { path: "/v1/responses" });
  const { output } = (await response.json()) as { output: { type: string }[] };
  expect(output.map(({ type }) => type)).toEqual(["reasoning", "message", "function_call", "function_call"]);
  const chats = server.asked.filter(({ path }) => path === "/v1/chat/completions");
  expect(chats.map(({ body }) => body.stream_options)).toEqual([
    { include_usage: true },
    { include_usage: true },
  ]);
});

test("a stream that ends without any finish is an error in every dialect; one without usage is still metered", async () => {
  const alice = keyFor("alice");
  const server = await openServer(
    { data: [{ id: "demo" }] },
    { [chatRoute]: streams(delta({ content: "h" }), delta({ content: "i" })) },
  );
  const gateway = await openGateway({
    ...{ servers: { other: { url: server.url } }, cortex: { auth: { mode: "required" } }, keys: [alice.key] },
  });
  const { headers } = alice;
  const text = await (await post(gateway, { ...chat, stream: true }, { headers })).text();
  expect(text).toMatch(/upstream_interrupted/);
  expect(text).not.toContain("[DONE]");
  server.routes[chatRoute] = streams(
    delta({ content: "h" }),
    delta({ content: "i" }, { finish_reason: "stop" }),
    "data: [DONE]\n\n",
  );
  await (await post(gateway, { ...chat, stream: true }, { headers })).text();
  await until(() => gateway.logs.filter(({ event }) => event === "request").length === 2);
  const [used] = Object.values(await gateway.gateway.usage.of(alice.key.id, 2));
  expect(used).toMatchObject({ requests: 2, errors: 1, completion_tokens: 4 });
  expect(used!.prompt_tokens).toBeGreaterThan(10);
  expect(server.asked[0]!.headers["x-cortex-principal"]).toBeUndefined();
});

test.each<[string, number, unknown, number, object]>([
  [
    "its client's mistake",
    400,
    { object: "error", message: "n must be 1", code: 400 },
    400,
    { code: "invalid_request_body", message: "n must be 1" },
  ],
  [
    "an overflow",
    400,
    { error: { type: "exceed_context_size_error", n_prompt_tokens: 9, n_ctx: 8, message: "x" } },
    400,
    { code: "context_length_exceeded" },
  ],
  [
    "its own business",
    500,
    { error: { message: "at /home/me" } },
    502,
    { code: "upstream_failed", message: "The server with this model failed." },
  ],
  ["HTML", 502, "<html>nginx</html>", 502, { code: "upstream_failed" }],
  [
    "that our key is wrong",
    401,
    { error: { message: "bad key s3cret" } },
    502,
    { code: "upstream_failed", message: "The server with this model failed." },
  ],
  ["an error, with status 200", 200, { error: "boom" }, 502, { code: "upstream_failed" }],
  ["a full queue", 429, { error: { message: "x" } }, 429, { code: "rate_limit_exceeded" }],
])("it answers with %s", async (_, status, body, wantStatus, want) => {
  const { gateway } = await open({
    [chatRoute]: (_, r) => answerJson(r, status, body, status === 429 ? { "retry-after": "7" } : {}),
  });
  const response = await post(gateway, chat);
  expect([response.status, response.headers.get("retry-after")]).toEqual([
    wantStatus,
    status === 429 ? "7" : wantStatus === 502 ? "2" : null,
  ]);
  expect(await errorOf(response)).toMatchObject(want);
  const anthropic = await post(gateway, { ...chat, max_tokens: 5 }, { path: "/v1/messages" });
  expect(anthropic.status).toBe(wantStatus);
  expect(JSON.stringify(gateway.logs)).not.toMatch(/s3cret|home/);
});

test.each<[string, Record<string, (body: Record<string, unknown>) => unknown>, number | undefined]>([
  ["as we do", { "POST /v1/chat/completions/input_tokens": () => ({ input_tokens: 42 }) }, 42],
  ["as vLLM does", { "POST /tokenize": ({ messages }) => (messages ? { count: 43, tokens: [] } : {}) }, 43],
  [
    "as llama.cpp does",
    {
      "POST /tokenize": ({ content }) => ({ tokens: content === "<chat>" ? [1, 2, 3] : [] }),
      "POST /apply-template": () => ({ prompt: "<chat>" }),
    },
    3,
  ],
  ["in no way", {}, undefined],
])("it counts tokens %s", async (_, routes, want) => {
  const { gateway } = await open(
    Object.fromEntries(
      Object.entries(routes).map(([route, say]) => [route, ({ body }, r) => answerJson(r, 200, say(body))]),
    ),
  );
  const response = await post(gateway, chat, { path: "/v1/messages/count_tokens" });
  if (want !== undefined) expect(await response.json()).toEqual({ input_tokens: want });
  else
    expect([response.status, await response.json()]).toMatchObject([
      404,
      { error: { message: "The server with this model cannot count tokens." } },
    ]);
});

test("embeddings pass as they come", async () => {
  const embeddings = {
    object: "list",
    data: [{ embedding: [0.1], index: 0 }],
    usage: { prompt_tokens: 5, total_tokens: 5 },
  };
  const { server, gateway } = await open({ "POST /v1/embeddings": (_, r) => answerJson(r, 200, embeddings) });
  const response = await post(gateway, { model: "demo", input: ["a", "b"] }, { path: "/v1/embeddings" });
  expect(await response.json()).toEqual(embeddings);
  expect(server.asked[0]!.body).toEqual({ model: "demo.gguf", input: ["a", "b"] });
  expect(await samples(gateway, "cortex_prompt_tokens_total")).toEqual({
    '{model="demo",neuron="other"}': 5,
  });
});

test("three polls that fail make it unreachable, one that does not brings it back; a neuron stands in meanwhile", async () => {
  const server = await openServer(
    { data: [{ id: "demo" }] },
    { [chatRoute]: (_, r) => answerJson(r, 200, answered) },
  );
  const neuron = await openNeuron("demo");
  const gateway = await openGateway({ servers: { a: { url: server.url } }, neurons: { b: neuron } });
  const where = async () => (await post(gateway, chat)).headers.get("x-cortex-neuron");
  expect(await where()).toBe("a");
  server.routes["GET /v1/models"] = (_, r) => answerJson(r, 500, {});
  const stateOf = () => gateway.gateway.fleet.neuron("a").state;
  await until(() => stateOf() === "unreachable");
  expect(gateway.logs.find(({ event }) => event === "neuron unreachable")).toMatchObject({
    reason: "/v1/models: status 500",
  });
  expect(await where()).toBe("b");
  server.routes["GET /v1/models"] = (_, r) => answerJson(r, 200, { data: [{ id: "demo" }] });
  await until(() => stateOf() === "healthy");
  server.routes[chatRoute] = (_, r) => r.destroy();
  expect(await where()).toBe("b"); // retried, unseen by the client
});
