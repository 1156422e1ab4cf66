// What all translated dialects owe their clients, whichever it is: when headers go out, what happens to a neuron that
// fails or a client that leaves, and that no request, however broken, brings anything down.
import { get, request as httpRequest } from "node:http";
import type { IncomingMessage } from "node:http";
import { describe, expect, test } from "vitest";
import * as clients from "../dialects/clients.fixture.ts";
import type { Json } from "../dialects/streams.fixture.ts";
import { framesOf, readMessage, readResponse } from "../dialects/streams.fixture.ts";
import { chat, openGateway, openNeuron, post, samples, until } from "../fixtures/gateway.fixture.ts";
import { json } from "../fixtures/mock-neuron.fixture.ts";
import { ending, hello, opening, said, script } from "../fixtures/scripted.fixture.ts";

const dialects: [string, { path: string; body: Json; ended: (text: string) => Json }][] = [
  [
    "Messages",
    {
      path: "/v1/messages",
      body: { model: "demo", max_tokens: 9, messages: [{ role: "user", content: "Hello" }] },
      ended: (text) => readMessage(framesOf(text)).error?.error,
    },
  ],
  [
    "Responses",
    {
      path: "/v1/responses",
      body: { model: "demo", input: "Hello" },
      ended: (text) => readResponse(framesOf(text)).error,
    },
  ],
];

describe.each(dialects)("%s", (_, { path, body, ended }) => {
  const streamed = { ...body, stream: true };

  test("a neuron that takes long: headers and keepalives go out, then the answer", async () => {
    const neuron = await openNeuron("demo");
    let answerNow = () => {};
    const told = new Promise<void>((resolve) => (answerNow = resolve));
    neuron.answer = async (request, response) => {
      await told;
      await hello(request, response);
    };
    const gateway = await openGateway({ neurons: { a: neuron }, cortex: { gateway: { keepalive_s: 0.05 } } });
    const response = await post(gateway, streamed, { path }); // here already, and the neuron has said nothing
    await new Promise((resolve) => setTimeout(resolve, 200));
    answerNow();
    const text = await response.text();
    expect(ended(text)).toBeUndefined();
    expect(text.match(/event: (ping|response\.in_progress)\n/g)!.length).toBeGreaterThan(2);
  });

  test("a refusal that comes too late for a status is the stream's last event", async () => {
    const neuron = await openNeuron("demo");
    const error = {
      ...{ type: "invalid_request_error", code: "context_length_exceeded", param: null },
      message: "This model's maximum context length is 8 tokens, but the prompt has 9 tokens.",
    };
    neuron.answer = async (_request, response) => {
      await new Promise((resolve) => setTimeout(resolve, 200));
      json(response, 400, { error });
    };
    const gateway = await openGateway({ neurons: { a: neuron }, cortex: { gateway: { keepalive_s: 0.05 } } });
    const response = await post(gateway, streamed, { path });
    expect(response.status).toBe(200);
    expect(ended(await response.text()).message).toMatch(
      /prompt is too long: 9 tokens > 8|maximum context length is 8/,
    );
    await until(() => gateway.logs.some(({ event }) => event === "request"));
    expect(gateway.logs.find(({ event }) => event === "request")!.error).toBe("context_length_exceeded");
  });

  test.each([true, false])("a neuron that fails at once is replaced, unseen (stream: %s)", async (stream) => {
    const [a, b] = [await openNeuron("demo"), await openNeuron("demo")];
    a.answer = (_request, response) => response.destroy();
    b.answer = hello;
    const gateway = await openGateway({ neurons: { a, b } });
    // Without a key of its own a response is a conversation of its own, and may begin with either.
    for (let i = 0; i < 40 && a.requests.length === 0; i++) {
      const response = await post(gateway, { ...body, stream }, { path });
      expect([response.status, response.headers.get("x-cortex-neuron")]).toEqual([200, "b"]);
      expect(await response.text()).toContain("Hel");
    }
    expect(a.requests.length).toBeGreaterThan(0);
  });

  test.each([true, false])("a client that leaves ends the neuron's work (stream: %s)", async (stream) => {
    const neuron = await openNeuron("demo");
    neuron.answer = script(opening, said("Hel"), 60_000);
    const gateway = await openGateway({ neurons: { a: neuron } });
    const leave = new AbortController();
    const reading = post(gateway, { ...body, stream }, { path, signal: leave.signal }).then((r) => r.text());
    reading.catch(() => {});
    await until(() => neuron.requests.length === 1);
    await new Promise((resolve) => setTimeout(resolve, 50));
    leave.abort();
    await neuron.requests[0]!.aborted;
    await until(() => gateway.gateway.running.size === 0);
    const line = gateway.logs.find(({ event }) => event === "request")!;
    expect([line.client_closed, line.error]).toEqual([true, undefined]);
  });

  test("a client that leaves while the neuron has not answered ends it, too", async () => {
    const neuron = await openNeuron("demo");
    neuron.answer = () => {};
    const gateway = await openGateway({ neurons: { a: neuron }, cortex: { gateway: { keepalive_s: 0.05 } } });
    const leave = new AbortController();
    const response = await post(gateway, streamed, { path, signal: leave.signal });
    leave.abort();
    await response.text().catch(() => {});
    await neuron.requests[0]!.aborted;
    await until(() => gateway.gateway.running.size === 0);
  });

  test("a neuron that falls silent: an error in the stream, a status for a whole answer", async () => {
    const neuron = await openNeuron("demo");
    neuron.answer = script(opening, said("Hel"), 60_000);
    const gateway = await openGateway({
      neurons: { a: neuron },
      cortex: { gateway: { idle_timeout_s: 0.2 } },
    });
    expect(ended(await (await post(gateway, streamed, { path })).text()).message).toMatch(/silent/);
    expect((await post(gateway, body, { path })).status).toBe(504);
  });

  test("a gateway that goes down says so within the stream", async () => {
    const neuron = await openNeuron("demo");
    neuron.answer = script(opening, said("Hel"), 60_000);
    const gateway = await openGateway({ neurons: { a: neuron } });
    const reading = post(gateway, streamed, { path }).then((response) => response.text());
    await until(() => neuron.requests.length === 1);
    await new Promise((resolve) => setTimeout(resolve, 50));
    await gateway.stop();
    expect(ended(await reading).message).toMatch(/shutting down/);
  });

  test("a client that does not read holds the neuron back", async () => {
    const neuron = await openNeuron("demo");
    const flood = said("x".repeat(1000)).repeat(100);
    let written = 0;
    neuron.answer = async (_request, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write(opening);
      for (let i = 0; i < 200 && !response.destroyed; i++) {
        if (!response.write(flood)) await new Promise((resolve) => response.once("drain", resolve));
        written += flood.length;
      }
      response.end(ending());
    };
    const gateway = await openGateway({ neurons: { a: neuron } });
    const response = await new Promise<IncomingMessage>((resolve) => {
      const asking = httpRequest(gateway.url + path, { method: "POST" }, resolve);
      asking.end(JSON.stringify(streamed));
    });
    response.pause();
    for (let before = -1; before !== written;) {
      before = written;
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
    expect(written).toBeLessThan(14e6); // of 22 MB: the sockets' buffers, and no more
    let got = 0;
    for await (const bytes of response as AsyncIterable<Buffer>) got += bytes.length;
    expect(got).toBeGreaterThan(20e6);
  });

  test("is counted and timed like every other request", async () => {
    const neuron = await openNeuron("demo");
    neuron.answer = hello;
    const gateway = await openGateway({ neurons: { a: neuron } });
    await (await post(gateway, streamed, { path })).text();
    await (await post(gateway, body, { path })).text();
    const labels = '{model="demo",neuron="a"}';
    expect(await samples(gateway, "cortex_requests_total")).toEqual({ [labels]: 2 });
    expect(await samples(gateway, "cortex_prompt_tokens_total")).toEqual({ [labels]: 62 });
    expect(await samples(gateway, "cortex_completion_tokens_total")).toEqual({ [labels]: 34 });
    expect(await samples(gateway, "cortex_cached_prompt_tokens_total")).toEqual({ [labels]: 10 });
  });

  test("keys stay here; an alias is resolved", async () => {
    const neuron = await openNeuron("demo");
    neuron.answer = hello;
    const gateway = await openGateway({
      neurons: { a: neuron },
      models: { aliases: { "claude-x": "demo" } },
    });
    const headers = {
      "x-api-key": "secret-key",
      authorization: "Bearer secret-key",
      "anthropic-beta": "a,b",
    };
    const answer = (await (
      await post(gateway, { ...body, model: "claude-x" }, { path, headers })
    ).json()) as Json;
    expect(answer.model).toBe("claude-x");
    expect(JSON.parse(neuron.requests[0]!.body)).toMatchObject({ model: "demo" });
    expect(JSON.stringify([neuron.requests[0]!.headers, gateway.logs])).not.toContain("secret-key");
  });
});

test("a conversation stays on its neuron, by any client's key, in any dialect", async () => {
  const neurons = { a: await openNeuron("demo"), b: await openNeuron("demo"), c: await openNeuron("demo") };
  for (const neuron of Object.values(neurons)) neuron.answer = hello;
  const gateway = await openGateway({ neurons });
  const ask = async (path: string, body: Json, headers = {}) => {
    const response = await post(gateway, { ...body, stream: true }, { path, headers });
    await response.text();
    return response.headers.get("x-cortex-neuron")!;
  };
  const used = new Set<string>();
  for (let n = 0; n < 12; n++) {
    const [key, body] = [`session-${n}`, { model: "demo", input: "Hello" }];
    const first = await ask("/v1/responses", { ...body, prompt_cache_key: key });
    used.add(first);
    expect(await ask("/v1/messages", dialects[0]![1].body, { "x-claude-code-session-id": key })).toBe(first);
    expect(await ask("/v1/chat/completions", { ...chat, prompt_cache_key: key })).toBe(first);
    expect(await ask("/v1/chat/completions", chat, { "x-session-affinity": key })).toBe(first);
  }
  expect([...used].sort()).toEqual(["a", "b", "c"]);
});

test("previous_response_id keeps a conversation without a key on its neuron", async () => {
  const neurons = { a: await openNeuron("demo"), b: await openNeuron("demo"), c: await openNeuron("demo") };
  for (const neuron of Object.values(neurons)) neuron.answer = hello;
  const gateway = await openGateway({ neurons });
  const used = new Set<string>();
  for (let n = 0; n < 8; n++) {
    let previous: Json = { id: null };
    let first: string | null = null;
    for (let turn = 0; turn < 3; turn++) {
      const body = { model: "demo", input: "Hello", previous_response_id: previous.id };
      const response = await post(gateway, body, { path: "/v1/responses" });
      previous = await response.json();
      first ??= response.headers.get("x-cortex-neuron");
      expect(response.headers.get("x-cortex-neuron")).toBe(first);
    }
    used.add(first!);
  }
  expect(used.size).toBeGreaterThan(1);
});

test("other paths of Anthropic's answer in its words, OpenAI's in theirs", async () => {
  const gateway = await openGateway({ neurons: { a: await openNeuron("demo") } });
  const anthropic = (await (await fetch(`${gateway.url}/v1/messages/batches`)).json()) as Json;
  expect(anthropic).toMatchObject({ type: "error", error: { type: "not_found_error" } });
  const openAi = (await (await fetch(`${gateway.url}/v1/responsesx`)).json()) as Json;
  expect(openAi.error).toMatchObject({ type: "invalid_request_error", code: "not_found" });
  const status = await new Promise((resolve) =>
    get(`${gateway.url}/v1/responses/x`, (r) => resolve(r.statusCode)),
  );
  expect(status).toBe(404);
});

// Requests as clients send them, with something broken at a place chosen by chance: always the same chances.
test(
  "three thousand mutated requests: an answer each, and nothing is left running",
  { timeout: 120_000 },
  async () => {
    const neuron = await openNeuron("demo");
    neuron.answer = (request, response) =>
      request.path.endsWith("/input_tokens")
        ? json(response, 200, { input_tokens: 7 })
        : hello(request, response);
    const gateway = await openGateway({
      neurons: { a: neuron },
      cortex: { gateway: { log_level: "error" } },
    });
    const random = mulberry32(20_261_120);
    const all: [string, Json][] = [
      ...clients.messagesRequests.map(([, body]): [string, Json] => ["/v1/messages", body]),
      ["/v1/messages/count_tokens", clients.claudeCodeCount],
      ...clients.responsesRequests.map(([, body]): [string, Json] => ["/v1/responses", body]),
      ["/v1/responses/input_tokens", clients.codex],
    ];
    const statuses = new Map<number, number>();
    const one = async () => {
      const [path, body] = all[Math.floor(random() * all.length)]!;
      let text = JSON.stringify(mutated(structuredClone(body), random));
      if (random() < 0.05) text = text.slice(0, Math.floor(random() * text.length));
      const response = await post(gateway, text, { path });
      const answer = await response.text();
      statuses.set(response.status, (statuses.get(response.status) ?? 0) + 1);
      const type = response.headers.get("content-type")!;
      if (response.status !== 200) expect([400, 404], `${path} ${text}`).toContain(response.status);
      else if (type.startsWith("text/event-stream"))
        (path === "/v1/messages" ? readMessage : readResponse)(framesOf(answer));
      else JSON.parse(answer);
    };
    for (let batch = 0; batch < 150; batch++) await Promise.all(Array.from({ length: 20 }, one));
    expect([...statuses.values()].reduce((a, b) => a + b)).toBe(3000);
    expect(statuses.get(200)!).toBeGreaterThan(500);
    expect(statuses.get(400)!).toBeGreaterThan(500);
    await until(() => gateway.gateway.running.size === 0);
    expect(gateway.logs).toEqual([]); // no internal error
  },
);

/** One or two changes at any depth. */
function mutated(body: Json, random: () => number): Json {
  for (let n = 1 + Math.floor(random() * 2); n > 0; n--) {
    const places: [Json, string | number][] = [];
    const walk = (node: Json) => {
      for (const key of Object.keys(node)) {
        places.push([node, Array.isArray(node) ? Number(key) : key]);
        if (typeof node[key] === "object" && node[key] !== null) walk(node[key]);
      }
    };
    walk(body);
    const [node, key]: [Json, string | number] = places[Math.floor(random() * places.length)] ?? [
      body,
      "model",
    ];
    const values: Json[] = [
      ...[
        null,
        true,
        0,
        -1,
        1e308,
        "",
        "x",
        "\u0000\ud800",
        [],
        [[]],
        {},
        { type: "text" },
        { type: 7 },
        [null],
      ],
      ...[{ type: "tool_result" }, { role: "user" }, "x".repeat(5000), { __proto__: null, constructor: 1 }],
    ];
    const choice = Math.floor(random() * (values.length + 4));
    if (choice < values.length) node[key] = structuredClone(values[choice]);
    else if (choice === values.length) {
      if (Array.isArray(node)) node.splice(Number(key), 1);
      else Reflect.deleteProperty(node, key);
    } else if (choice === values.length + 1) node[key] = nested(node[key]);
    else if (Array.isArray(node)) node.push(structuredClone(node[Number(key)] ?? 1));
    else Object.assign(node, { [`${key}_more`]: node[key] });
  }
  return body;
}

function nested(value: Json): Json {
  for (let i = 0; i < 300; i++) value = [value];
  return value;
}

function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
