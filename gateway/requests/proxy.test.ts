import { connect } from "node:net";
import { expect, test } from "vitest";
import { chat, errorOf, openGateway, openNeuron, post, until } from "../fixtures/gateway.fixture.ts";
import { chatAnswer, json, openStream } from "../fixtures/mock-neuron.fixture.ts";
import { requestHeaders, responseHeaders } from "../wire/upstream.ts";

test("a whole answer passes byte for byte, both ways, on both routes", async () => {
  const neuron = await openNeuron("demo");
  const answer = `{ "choices":[ {"message":{"content":"gr\\u00fc\\u00df é"}} ], "x": 1.0 }`;
  neuron.answer = (_, response) => {
    response.writeHead(201, { "content-type": "application/json", "x-neuron": "yes" });
    response.end(answer);
  };
  const gateway = await openGateway({ neurons: { a: neuron } });
  for (const path of ["/v1/chat/completions", "/v1/completions"]) {
    const body = ` {"model":"demo" , "prompt":"é\\n", "seed":12345678901234567890}\n`;
    const response = await post(gateway, body, { path });
    expect([response.status, response.headers.get("x-neuron")]).toEqual([201, "yes"]);
    expect(await response.text()).toBe(answer);
    expect(neuron.requests.at(-1)).toMatchObject({ path, body });
  }
});

test("keys and hop-by-hop headers stay behind; the request id goes all the way", async () => {
  const neuron = await openNeuron("demo");
  const gateway = await openGateway({ neurons: { a: neuron } });
  const headers = {
    ...{
      authorization: "Bearer secret-key",
      "x-api-key": "secret-key",
      cookie: "secret-key=1",
      te: "trailers",
    },
    ...{ "x-session-affinity": "s1", traceparent: "00-1-2-03", "x-request-id": "mine-1" },
  };
  const response = await post(gateway, chat, { headers });
  expect(response.headers.get("x-request-id")).toBe("mine-1");
  const sent = neuron.requests[0]!.headers;
  expect(sent).toMatchObject({
    "x-session-affinity": "s1",
    traceparent: "00-1-2-03",
    "x-request-id": "mine-1",
  });
  expect(JSON.stringify(sent)).not.toMatch(/secret-key|trailers|accept-encoding/);
  await until(() => gateway.logs.some((line) => line.event === "request"));
  expect(JSON.stringify(gateway.logs)).not.toMatch(/secret-key|Hello/);
  const forged = await post(gateway, chat, { headers: { "x-request-id": "a b\tc" } });
  expect(forged.headers.get("x-request-id")).toMatch(/^[0-9a-f-]{36}$/);
});

test("headers named by Connection are dropped too", () => {
  const headers = { connection: "close, X-Private", "x-private": "1", "x-open": "2", "content-length": "5" };
  expect(requestHeaders(headers, { id: "id", principal: undefined })).toEqual({
    ...{ "x-open": "2", "content-type": "application/json", "x-request-id": "id" },
  });
  expect(responseHeaders(headers, true)).toEqual({ "x-open": "2" });
  expect(responseHeaders(headers, false)).toEqual({ "x-open": "2", "content-length": "5" });
});

test.each<[string, string, number, object]>([
  ["malformed JSON", `{"model":`, 400, { code: "malformed_json", param: null }],
  [
    "no body",
    "",
    400,
    { code: "malformed_json", message: "The request body is not valid JSON: it is empty" },
  ],
  ["a list", "[]", 400, { code: "invalid_request_body" }],
  ["null", "null", 400, { code: "invalid_request_body" }],
  ["no model", `{"messages":[]}`, 400, { code: "missing_model_field", param: "model" }],
  ["an empty model", `{"model":""}`, 400, { code: "missing_model_field", param: "model" }],
  ["a model that is no string", `{"model":7}`, 400, { code: "invalid_request_body", param: "model" }],
  ["too much", JSON.stringify({ model: "x".repeat(200_000) }), 413, { code: "request_too_large" }],
  ["an unknown model", `{"model":"other"}`, 404, { code: "model_not_found", param: "model" }],
])("%s is refused before any neuron hears of it", async (_, body, status, error) => {
  const neuron = await openNeuron("demo");
  const gateway = await openGateway({ neurons: { a: neuron }, cortex: { gateway: { body_limit_mb: 0.1 } } });
  const response = await post(gateway, body);
  expect(response.status).toBe(status);
  expect(response.headers.get("content-type")).toMatch(/^application\/json/);
  expect(response.headers.get("x-request-id")).toMatch(/./);
  expect(await errorOf(response)).toMatchObject({ type: "invalid_request_error", ...error });
  expect(neuron.requests.length).toBe(0);
});

test("unknown paths and methods get the envelope; curl's form content type is taken for JSON", async () => {
  const neuron = await openNeuron("demo");
  const gateway = await openGateway({ neurons: { a: neuron } });
  for (const [method, path] of [
    ["GET", "/v1/nothing"],
    ["GET", "/v1/chat/completions"],
    ["GET", "/v1/models/%"],
  ]) {
    const response = await fetch(gateway.url + path, { method: method! });
    expect([response.status, Object.keys(await errorOf(response)).sort()]).toEqual([
      path!.endsWith("%") ? 400 : 404,
      ["code", "message", "param", "type"],
    ]);
  }
  const headers = { "content-type": "application/x-www-form-urlencoded" };
  expect((await post(gateway, chat, { headers })).status).toBe(200);
  expect(neuron.requests[0]!.headers["content-type"]).toBe("application/json");
});

test("a neuron's own error passes with status, code, figures and Retry-After", async () => {
  const neuron = await openNeuron("demo");
  const error = {
    message: "too long",
    type: "invalid_request_error",
    code: "context_length_exceeded",
    param: null,
    max: 9,
  };
  neuron.answer = (_, response) => json(response, 400, { error });
  const gateway = await openGateway({ neurons: { a: neuron } });
  const response = await post(gateway, { ...chat, stream: true });
  expect([response.status, await response.json()]).toEqual([400, { error }]);
  const full = { message: "the queue is full", type: "overloaded_error", code: "queue_full", param: null };
  neuron.answer = (_, response) => json(response, 503, { error: full }, { "retry-after": "7" });
  const refused = await post(gateway, chat);
  expect([refused.status, refused.headers.get("retry-after"), await refused.json()]).toEqual([
    503,
    "7",
    { error: full },
  ]);
  neuron.answer = (_, response) => json(response, 503, { error: full }, { "retry-after": "120" });
  const { headers } = await post(gateway, chat); // the SDKs would not wait so long, but come at once
  expect([headers.get("retry-after"), headers.get("x-should-retry")]).toEqual(["120", "false"]);
});

test.each<[string, number, string, string]>([
  ["HTML of some proxy", 502, "text/html", "<h1>nginx at 10.0.0.3</h1>"],
  ["a stack trace", 500, "application/json", `{"trace":"secret"}`],
  ["a redirect", 302, "text/plain", ""],
  ["an endless error", 500, "application/json", `{"error":{"message":"${"x".repeat(100_000)}"}}`],
])("what is no OpenAI error is not passed on: %s", async (_, status, type, body) => {
  const neuron = await openNeuron("demo");
  neuron.answer = (_request, response) => {
    response.writeHead(status, { "content-type": type, location: "http://10.0.0.3/" });
    response.end(body);
  };
  const gateway = await openGateway({ neurons: { a: neuron } });
  const response = await post(gateway, chat);
  expect(response.status).toBe(502);
  expect(await errorOf(response)).toEqual({
    message: "The neuron with this model gave no valid answer.",
    ...{ type: "server_error", code: "upstream_failed", param: null },
  });
});

test.each<[string, (neuron: Awaited<ReturnType<typeof openNeuron>>) => void]>([
  ["resets the connection", (n) => (n.answer = (_, response) => response.destroy())],
  ["is full", (n) => (n.answer = (_, r) => json(r, 503, { error: { message: "full", code: "queue_full" } }))],
  [
    "has lost the model",
    (n) => (n.answer = (_, r) => json(r, 404, { error: { message: "gone", code: "model_not_found" } })),
  ],
  ["talks nonsense", (n) => (n.answer = (_, r) => json(r, 500, "?"))],
])("a neuron that %s is replaced by another, once, unseen by the client", async (_, break_) => {
  const [a, b] = [await openNeuron("demo"), await openNeuron("demo")];
  break_(a);
  const gateway = await openGateway({ neurons: { a, b } });
  const response = await post(gateway, chat);
  expect([response.status, response.headers.get("x-cortex-neuron")]).toEqual([200, "b"]);
  expect(await response.json()).toEqual(chatAnswer("hi", 3));
  expect([a.requests.length, b.requests.length]).toEqual([1, 1]);
  await until(() => gateway.logs.some((line) => line.event === "request" && line.attempts === 2));
});

test("two neurons may fail a request, not three; the client's own fault is not retried", async () => {
  const [a, b, c, d] = await Promise.all([1, 2, 3, 4].map(() => openNeuron("demo")));
  if (!a || !b || !c || !d) throw new Error("four neurons");
  a.answer = b.answer = (_, response) => response.destroy();
  const gateway = await openGateway({ neurons: { a, b, c, d } });
  expect((await post(gateway, chat)).headers.get("x-cortex-neuron")).toBe("c");
  c.answer = a.answer;
  await until(() => gateway.gateway.fleet.neurons.every(({ strikes }) => strikes === 0));
  const response = await post(gateway, chat);
  expect([response.status, response.headers.get("retry-after"), (await errorOf(response)).code]).toEqual([
    ...[502, "2", "upstream_unreachable"],
  ]);
  expect(d.requests.length).toBe(0);
  a.answer = b.answer = (_, r) => json(r, 400, { error: { message: "bad", code: "bad_request" } });
  c.answer = d.answer = a.answer;
  const total = () => [a, b, c, d].reduce((sum, { requests }) => sum + requests.length, 0);
  const before = total();
  expect((await post(gateway, chat)).status).toBe(400);
  expect(total()).toBe(before + 1);
});

test("the neuron's refusal is told, rather than ours, when there is no other", async () => {
  const [a, b] = [await openNeuron("demo"), await openNeuron("demo")];
  a.answer = (_, response) => response.destroy();
  b.answer = (_, r) =>
    json(r, 503, { error: { message: "full", code: "queue_full" } }, { "retry-after": "4" });
  const gateway = await openGateway({ neurons: { a, b } });
  const response = await post(gateway, chat);
  expect([response.status, response.headers.get("retry-after"), (await errorOf(response)).code]).toEqual([
    ...[503, "4", "queue_full"],
  ]);
});

test("a killed neuron is found out by the request that fails, not by the next poll", async () => {
  const [a, b] = [await openNeuron("demo"), await openNeuron("demo")];
  const gateway = await openGateway({ neurons: { a, b }, cortex: { poll: { interval_s: 60 } } });
  await a.kill();
  expect((await post(gateway, chat)).headers.get("x-cortex-neuron")).toBe("b");
  await until(() => gateway.gateway.fleet.neuron("a").strikes > 0);
  await post(gateway, chat);
  const attempts = gateway.logs.filter((line) => line.event === "request").map((line) => line.attempts);
  expect(attempts[1]).toBeUndefined(); // went to b at once: one attempt
});

test("requests that are not HTTP, and half-sent ones, leave the gateway well", async () => {
  const neuron = await openNeuron("demo");
  const gateway = await openGateway({ neurons: { a: neuron } });
  const port = Number(new URL(gateway.url).port);
  for (const text of [
    "nonsense\r\n\r\n",
    "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{",
  ]) {
    const socket = connect(port, "127.0.0.1").on("error", () => {});
    socket.write(text);
    await new Promise((resolve) => setTimeout(resolve, 50));
    socket.destroy();
  }
  expect((await post(gateway, chat)).status).toBe(200);
});

test("a hundred streams at once each get their own answer", async () => {
  const neuron = await openNeuron("demo");
  neuron.answer = async (request, response) => {
    openStream(response);
    const { n } = JSON.parse(request.body) as { n: number };
    for (let i = 0; i < 5; i++) {
      response.write(`data: {"choices":[{"delta":{"content":"${n}-${i}"}}]}\n\n`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    response.end("data: [DONE]\n\n");
  };
  const gateway = await openGateway({ neurons: { a: neuron } });
  const texts = await Promise.all(
    Array.from({ length: 100 }, async (_, n) => (await post(gateway, { ...chat, stream: true, n })).text()),
  );
  texts.forEach((text, n) => {
    const contents = [...text.matchAll(/"content":"(.*?)"/g)].map((match) => match[1]);
    expect(contents).toEqual([0, 1, 2, 3, 4].map((i) => `${n}-${i}`));
  });
  await until(() => gateway.gateway.running.size === 0);
});
