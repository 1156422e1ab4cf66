// Answers of every dialect held against what OpenAI and Anthropic publish of their shapes, whole and event by event, and
// the cases by which Open Responses calls a server compliant (openresponses.org), with what it asks of each.

import { beforeAll, describe, expect, onTestFinished, test } from "vitest";
import type { Json } from "../gateway/dialects/streams.fixture.ts";
import { framesOf, readMessage, readResponse } from "../gateway/dialects/streams.fixture.ts";
import { openGateway, openNeuron, post } from "../gateway/fixtures/gateway.fixture.ts";
import type { MockNeuron } from "../gateway/fixtures/mock-neuron.fixture.ts";
import { ending, opening, said, script } from "../gateway/fixtures/scripted.fixture.ts";
import { startDaemon } from "../neuron/daemon.fixture.ts";
import type { Step } from "../neuron/fake-engine.fixture.ts";
import { content, finished, hello, reasoning, started, token } from "../neuron/fake-engine.fixture.ts";
import type { CaseName } from "./cases.ts";
import { caseNames, citySchema, promptOf } from "./cases.ts";
import { publishedChecks } from "./schemas.ts";
import { scripted } from "./scripted-neuron.ts";
import { runTool } from "./sdks/subject.ts";

let checks: ReturnType<typeof publishedChecks>;
beforeAll(() => {
  checks = publishedChecks();
}, 120_000);

const pixel =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const url = `data:image/png;base64,${pixel}`;

async function open() {
  const neuron = await openNeuron("demo");
  neuron.answer = scripted;
  return { neuron, gateway: await openGateway({ neurons: { a: neuron } }) };
}

const asText = async (answer: Promise<Response>) => {
  const response = await answer;
  const text = await response.text();
  expect([response.status, text]).toEqual([200, text]);
  return text;
};

/** A case in each dialect: the request, how its answer is read, and what its shapes are called. */
const dialects: Record<
  string,
  { path: string; body: (name: CaseName) => Json; check: (text: string, stream: boolean) => void }
> = {
  responses: {
    path: "/v1/responses",
    body: (name) => ({
      ...{ model: "demo", input: promptOf(name), include: ["reasoning.encrypted_content"] },
      ...(name !== "text" && { tools: [{ type: "function", ...runTool }] }),
      ...(name === "structured" && {
        tools: [],
        text: { format: { type: "json_schema", name: "c", schema: citySchema } },
      }),
      ...(name === "image" && {
        input: [
          {
            role: "user",
            content: [
              { type: "input_text", text: promptOf(name) },
              { type: "input_image", image_url: url },
            ],
          },
        ],
      }),
    }),
    check: checkResponses,
  },
  messages: {
    path: "/v1/messages",
    body: (name) => ({
      ...{ model: "demo", max_tokens: 99, messages: [{ role: "user", content: promptOf(name) }] },
      ...(name !== "text" && { tools: [{ name: "run", input_schema: runTool.parameters }] }),
      ...(name === "thinking" && { thinking: { type: "adaptive" } }),
      ...(name === "structured" && {
        tools: [],
        output_config: { format: { type: "json_schema", schema: citySchema } },
      }),
    }),
    check: (text, stream) => {
      if (!stream) return expect(checks.anthropic("message", JSON.parse(text))).toEqual([]);
      const frames = framesOf(text);
      for (const { data } of frames)
        expect([data, checks.anthropic("messageEvent", data)]).toEqual([data, []]);
      expect(checks.anthropic("message", readMessage(frames).message)).toEqual([]);
    },
  },
};

function checkResponses(text: string, stream: boolean): Json {
  if (!stream) {
    expect(checks.openAi("response", JSON.parse(text))).toEqual([]);
    return JSON.parse(text);
  }
  const frames = framesOf(text);
  for (const { data } of frames) expect([data, checks.openAi("responseEvent", data)]).toEqual([data, []]);
  return readResponse(frames).response;
}

describe.each(Object.entries(dialects))("%s", (_, { path, body, check }) => {
  test.each([false, true])("every case, streamed: %s", async (stream) => {
    const { gateway, neuron } = await open();
    for (const name of caseNames)
      check(await asText(post(gateway, { ...body(name), stream }, { path })), stream);
    neuron.answer = script(opening, said("Cut"), ending("length"));
    if (stream) check(await asText(post(gateway, { ...body("text"), stream }, { path })), stream);
  });

  test("errors", async () => {
    const { gateway } = await open();
    const anthropic = path === "/v1/messages";
    for (const wrong of [{ ...body("text"), model: "nobody" }, {}, { ...body("text"), tools: 7 }]) {
      const error = (await (await post(gateway, wrong, { path })).json()) as Json;
      const problems = anthropic ? checks.anthropic("error", error) : checks.openAi("error", error.error);
      expect([error, problems]).toEqual([error, []]);
    }
  });
});

describe("chat, as a neuron answers it", () => {
  const body = { model: "org/fake", messages: [{ role: "user", content: "hi" }] };
  const call: Step[] = [
    { type: "tool_call", index: 0, id: "call_1", name: "run" },
    { type: "tool_arguments", index: 0, json: '{"command":"ls"}' },
  ];
  const answers: [string, Step[], Json][] = [
    ["a text", hello, {}],
    ["usage", hello, { stream_options: { include_usage: true } }],
    ["log-probabilities", [started, content("a", [token(1, "a", -0.5)]), finished()], { logprobs: true }],
    [
      "thoughts and a call",
      [started, reasoning("Hm."), ...call, finished("tool_calls")],
      { tools: [{ type: "function", function: runTool }] },
    ],
    ["an end by length", [started, content("a"), finished("length")], {}],
  ];

  async function openDaemon() {
    const daemon = await startDaemon();
    onTestFinished(() => daemon.close());
    const gateway = await openGateway({ neurons: { a: { url: daemon.url } as MockNeuron } });
    return { daemon, gateway };
  }

  test.each(answers)("%s", async (_, steps, more) => {
    const { daemon, gateway } = await openDaemon();
    daemon.model.script = steps;
    const whole = JSON.parse(await asText(post(gateway, { ...body, ...more, stream_options: undefined })));
    expect([whole, checks.openAi("chatCompletion", whole)]).toEqual([whole, []]);
    const text = await asText(post(gateway, { ...body, ...more, stream: true }));
    const events = text
      .split("\n\n")
      .slice(0, -1)
      .map((event) => event.replace(/^data: /, ""));
    expect(events.pop()).toBe("[DONE]");
    for (const event of events)
      expect([event, checks.openAi("chatChunk", JSON.parse(event))]).toEqual([event, []]);
  });

  test("completions and errors", async () => {
    const { gateway } = await openDaemon();
    const text = await asText(
      post(gateway, { model: "org/fake", prompt: "hi" }, { path: "/v1/completions" }),
    );
    expect(checks.openAi("completion", JSON.parse(text))).toEqual([]);
    for (const wrong of [
      { ...body, model: "nobody" },
      {},
      { ...body, tools: 7 },
      { ...body, messages: [] },
    ]) {
      const { error } = (await (await post(gateway, wrong)).json()) as Json;
      expect([error, checks.openAi("error", error)]).toEqual([error, []]);
    }
  });
});

test("models, in both shapes; tokens counted", async () => {
  const { gateway } = await open();
  const list = (await (await fetch(`${gateway.url}/v1/models`)).json()) as Json;
  expect(list.data.flatMap((model: Json) => checks.openAi("model", model))).toEqual([]);
  const headers = { "anthropic-version": "2023-06-01" };
  const theirs = (await (await fetch(`${gateway.url}/v1/models`, { headers })).json()) as Json;
  expect(theirs.data.flatMap((model: Json) => checks.anthropic("modelInfo", model))).toEqual([]);
  const counted = await asText(
    post(gateway, dialects.messages!.body("text"), { path: "/v1/messages/count_tokens" }),
  );
  expect(checks.anthropic("tokensCount", JSON.parse(counted))).toEqual([]);
});

test("the checks see what is wrong", async () => {
  const { gateway } = await open();
  const right = JSON.parse(
    await asText(post(gateway, dialects.responses!.body("text"), { path: "/v1/responses" })),
  ) as Json;
  for (const field of ["id", "object", "created_at", "output", "tools", "tool_choice", "parallel_tool_calls"])
    expect([field, checks.openAi("response", { ...right, [field]: undefined }).length]).not.toEqual([
      field,
      0,
    ]);
  expect(checks.openAi("responseEvent", { type: "response.progress", sequence_number: 1 })).not.toEqual([]);
  expect(checks.anthropic("messageEvent", { type: "progress" })).not.toEqual([]);
});

/** Every response has all of these, whatever was asked. */
const required = [
  ...[
    "id",
    "object",
    "created_at",
    "completed_at",
    "status",
    "incomplete_details",
    "model",
    "previous_response_id",
  ],
  ...["instructions", "output", "error", "tools", "tool_choice", "truncation", "parallel_tool_calls", "text"],
  ...["top_p", "presence_penalty", "frequency_penalty", "top_logprobs", "temperature", "reasoning", "usage"],
  ...["max_output_tokens", "max_tool_calls", "store", "background", "service_tier", "metadata"],
  ...["safety_identifier", "prompt_cache_key"],
];

const user = (content: unknown) => ({ type: "message", role: "user", content });
const weather = { type: "function", ...runTool };
const openResponses: [string, Json, (response: Json, types: string[]) => void][] = [
  ["a text", { input: [user("[case text]")] }, hasText],
  ["a stream", { input: [user("[case text]")], stream: true }, hasText],
  [
    "a system prompt",
    { input: [{ type: "message", role: "system", content: "Be brief" }, user("[case text]")] },
    hasText,
  ],
  ["a tool", { input: [user("[case tool]")], tools: [weather] }, hasCall],
  ["a tool, streamed", { input: [user("[case tool]")], tools: [weather], stream: true }, hasStreamedCall],
  [
    "a picture",
    {
      input: [
        user([
          { type: "input_text", text: "[case image]" },
          { type: "input_image", image_url: url },
        ]),
      ],
    },
    hasText,
  ],
  [
    "several turns",
    {
      input: [
        user("I am Alice."),
        { type: "message", role: "assistant", content: "Hello." },
        user("[case text]"),
      ],
    },
    hasText,
  ],
];

function hasText(response: Json): void {
  expect(response.status).toBe("completed");
  expect(response.output.at(-1)).toMatchObject({ type: "message", status: "completed", role: "assistant" });
}

function hasCall(response: Json): void {
  expect(response.output.some(({ type }: Json) => type === "function_call")).toBe(true);
}

function hasStreamedCall(response: Json, types: string[]): void {
  hasCall(response);
  const events = [
    "output_item.added",
    "function_call_arguments.delta",
    "function_call_arguments.done",
    "output_item.done",
  ];
  expect(types).toEqual(expect.arrayContaining(events.map((event) => `response.${event}`)));
}

test.each(openResponses)("Open Responses: %s", async (_, ask, holds) => {
  const { gateway } = await open();
  const text = await asText(post(gateway, { model: "demo", ...ask }, { path: "/v1/responses" }));
  const response = checkResponses(text, ask.stream === true);
  for (const field of required) expect(response).toHaveProperty(field);
  holds(response, ask.stream ? framesOf(text).map(({ event }) => event) : []);
});
