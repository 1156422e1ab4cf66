import { describe, expect, test } from "vitest";
import { chatMessages } from "./chat.ts";
import { check } from "./check.ts";
import * as clients from "./clients.fixture.ts";
import { responsesEncoder } from "./responses-answer.ts";
import type { InputItem } from "./responses-body.ts";
import { ResponsesBody } from "./responses-body.ts";
import type { Recalled } from "./responses-request.ts";
import { referredIds, toRequest } from "./responses-request.ts";
import { itemsOf, listItems, responseOf, toStored } from "./responses-stored.ts";
import { seal } from "./seal.ts";
import type { Json } from "./streams.fixture.ts";
import { answers } from "./events.fixture.ts";
import { encodeAll } from "./streams.fixture.ts";

const base = { model: "demo", input: "hi" };
const nothing: Recalled = { history: [], items: new Map() };
const read = (body: Json, recalled = nothing) => toRequest(check(ResponsesBody, body), recalled);
const items = (...input: Json[]) => read({ ...base, input }).items;
const words = (text: string) => ({ type: "text", text });
const said = (role: string, ...texts: string[]) => ({ type: "message", role, parts: texts.map(words) });

test.each<[string, Json, Json]>([
  ["a message", { type: "message", role: "user", content: "a" }, said("user", "a")],
  [
    "an easy one",
    { role: "developer", content: [{ type: "input_text", text: "a" }] },
    said("developer", "a"),
  ],
  ["an answer", { role: "assistant", content: [{ type: "output_text", text: "a" }] }, said("assistant", "a")],
  [
    "a refusal",
    { role: "assistant", content: [{ type: "refusal", refusal: "no" }] },
    said("assistant", "no"),
  ],
  ["no content", { role: "assistant", content: null }, said("assistant")],
  [
    "a picture",
    { role: "user", content: [{ type: "input_image", image_url: "data:x", detail: "low" }] },
    { type: "message", role: "user", parts: [{ type: "image", url: "data:x", detail: "low" }] },
  ],
  [
    "a call",
    { type: "function_call", call_id: "c", name: "f", arguments: '{"a": 1.0}' },
    { type: "call", id: "c", name: "f", arguments: '{"a": 1.0}' },
  ],
  [
    "a custom call",
    { type: "custom_tool_call", call_id: "c", name: "patch", input: "*** a" },
    { type: "call", id: "c", name: "patch", arguments: '{"input":"*** a"}' },
  ],
  [
    "an output",
    { type: "function_call_output", call_id: "c", output: "x" },
    { type: "result", id: "c", parts: [words("x")], failed: false },
  ],
  [
    "an output in parts",
    { type: "custom_tool_call_output", call_id: "c", output: [{ type: "input_text", text: "x" }] },
    { type: "result", id: "c", parts: [words("x")], failed: false },
  ],
  [
    "thoughts",
    { type: "reasoning", summary: [], content: [{ type: "reasoning_text", text: "t" }] },
    { type: "reasoning", text: "t" },
  ],
  [
    "sealed thoughts",
    { type: "reasoning", summary: [], encrypted_content: seal("t") },
    { type: "reasoning", text: "t" },
  ],
  [
    "summarised thoughts",
    {
      type: "reasoning",
      summary: [
        { type: "summary_text", text: "s" },
        { type: "summary_text", text: "t" },
      ],
      encrypted_content: "x",
    },
    { type: "reasoning", text: "s\n\nt" },
  ],
])("%s", (_, item, want) => expect(items(item)).toEqual([want]));

test.each<[string, Json]>([
  [
    "thoughts of nobody",
    { type: "reasoning", id: "rs", summary: [], content: null, encrypted_content: null },
  ],
  ["a record of OpenAI's servers", { type: "web_search_call", id: "ws", status: "completed" }],
])("%s say nothing", (_, item) => expect(items({ role: "user", content: "a" }, item)).toHaveLength(1));

test("instructions come first, then what was before, then the input", () => {
  const history = [{ role: "user", content: "before" }];
  const body = { ...base, instructions: "be brief" };
  expect(read(body, { ...nothing, history }).items).toEqual([
    ...[said("system", "be brief"), said("user", "before"), said("user", "hi")],
  ]);
});

const f = { type: "function", name: "f", parameters: { type: "object" } };
const g = { type: "function", name: "g" };

describe("tools and choice", () => {
  test.each<[string, Json, Json]>([
    [
      "a function",
      { tools: [{ ...f, description: "d", strict: true }] },
      {
        tools: [{ name: "f", description: "d", parameters: { type: "object" }, strict: true }],
        choice: "auto",
      },
    ],
    [
      "others are skipped",
      { tools: [{ type: "namespace", name: "n", tools: [f] }, { type: "web_search" }, f] },
      { tools: [{ name: "f" }] },
    ],
    ["none", { tools: [f], tool_choice: "none" }, { choice: "none" }],
    ["required", { tools: [f], tool_choice: "required" }, { choice: "required" }],
    [
      "one",
      { tools: [f, g], tool_choice: { type: "function", name: "g" } },
      { choice: { name: "g" }, tools: [{ name: "f" }, { name: "g" }] },
    ],
    [
      "some",
      {
        tools: [f, g],
        tool_choice: { type: "allowed_tools", mode: "required", tools: [{ type: "function", name: "g" }] },
      },
      { choice: "required", tools: [{ name: "g" }] },
    ],
    ["one at a time", { tools: [f], parallel_tool_calls: false }, { parallelCalls: false }],
  ])("%s", (_, more, want) => expect(read({ ...base, ...more })).toMatchObject(want));
});

test.each<[string, Json, Json]>([
  [
    "options",
    { max_output_tokens: 5, temperature: 0, top_p: 0.5, presence_penalty: 1 },
    {
      options: { maxTokens: 5, temperature: 0, topP: 0.5, presencePenalty: 1 },
    },
  ],
  ["text", { text: { format: { type: "text" }, verbosity: "low" } }, { format: undefined, verbosity: "low" }],
  ["JSON", { text: { format: { type: "json_object" } } }, { format: { type: "json_object" } }],
  [
    "a schema",
    { text: { format: { type: "json_schema", name: "n", schema: { a: 1 }, strict: true } } },
    { format: { type: "json_schema", name: "n", schema: { a: 1 }, strict: true } },
  ],
  ["effort", { reasoning: { effort: "low" } }, { effort: "low", thinking: undefined }],
  ["no effort", { reasoning: { effort: "none" } }, { effort: "none", thinking: false }],
  [
    "what is said by default",
    { background: false, truncation: "disabled", include: ["reasoning.encrypted_content"] },
    {},
  ],
])("%s", (_, more, want) => expect(read({ ...base, ...more })).toMatchObject(want));

test.each<[string, Json, string, string]>([
  ["no model", { model: undefined }, "model", "Field required"],
  ["a number as input", { input: 7 }, "input", "string"],
  ["no input at all", { input: undefined }, "input", "at least one item"],
  ["an empty list", { input: [] }, "input", "at least one item"],
  ["an item that is none", { input: ["x"] }, "input.0", "Object"],
  [
    "an item of no known kind",
    { input: [{ type: "time_travel" }] },
    "input.0.type",
    "time_travel is not supported",
  ],
  ["a role that is none", { input: [{ role: "tool", content: "x" }] }, "input.0.role", "tool"],
  [
    "a file",
    { input: [{ role: "user", content: [{ type: "input_file", file_id: "f" }] }] },
    "input.0.content.0.type",
    "input_file",
  ],
  [
    "a picture in a file",
    { input: [{ role: "user", content: [{ type: "input_image", file_id: "f" }] }] },
    "input.0.content.0.file_id",
    "f is",
  ],
  [
    "a picture that is nowhere",
    { input: [{ role: "user", content: [{ type: "input_image" }] }] },
    "input.0.content.0.image_url",
    "Field required",
  ],
  [
    "a call of nothing",
    { input: [{ type: "function_call", call_id: "c", arguments: "" }] },
    "input.0.name",
    "Field required",
  ],
  [
    "an output of nothing",
    { input: [{ type: "function_call_output", output: "x" }] },
    "input.0.call_id",
    "Field required",
  ],
  ["a lost reference", { input: [{ type: "item_reference", id: "msg_x" }] }, "input.0.id", "msg_x"],
  ["background", { background: true }, "background", "true is not supported"],
  ["truncation", { truncation: "auto" }, "truncation", "auto is not supported"],
  ["a conversation", { conversation: "conv_1" }, "conversation", "conv_1 is not supported"],
  ["a stored prompt", { prompt: { id: "p" } }, "prompt", "not supported"],
  ["log-probabilities", { top_logprobs: 2 }, "top_logprobs", "2 is not supported"],
  [
    "log-probabilities included",
    { include: ["x", "message.output_text.logprobs"] },
    "include.1",
    "not supported",
  ],
  ["a tool without a type", { tools: [{ name: "f" }] }, "tools.0.type", "Field required"],
  ["a nameless function", { tools: [{ type: "function" }] }, "tools.0.name", "Field required"],
  [
    "a hosted choice",
    { tools: [f], tool_choice: { type: "web_search_preview" } },
    "tool_choice.type",
    "web_search_preview",
  ],
  [
    "a choice of nothing there",
    { tools: [f], tool_choice: { type: "function", name: "x" } },
    "tool_choice.name",
    '"x"',
  ],
  ["a format that is none", { text: { format: { type: "xml" } } }, "text.format.type", "xml"],
  [
    "a schema without a name",
    { text: { format: { type: "json_schema", schema: {} } } },
    "text.format.name",
    "Field required",
  ],
  [
    "a schema without one",
    { text: { format: { type: "json_schema", name: "n" } } },
    "text.format.schema",
    "Field required",
  ],
  [
    "too much metadata",
    { metadata: Object.fromEntries(Array.from({ length: 17 }, (_, i) => [i, "x"])) },
    "metadata",
    "at most 16",
  ],
])("%s is refused with its path", (_, more, param, message) => {
  expect(() => read({ ...base, ...more })).toThrow(
    expect.objectContaining({ param, message: expect.stringContaining(message) as string }) as Error,
  );
});

test.each(clients.responsesRequests)("%s is read", (_, body) => {
  expect(chatMessages(read(body).items).length).toBeGreaterThan(0);
});

test("Codex's second turn as a chat", () => {
  const { items, tools } = read(clients.codexTools2);
  expect(tools.map(({ name }) => name)).toEqual(["exec_command"]);
  expect(chatMessages(items).map(({ role, content }) => [role, content])).toEqual([
    ["developer", "You are Codex."],
    ["user", "<environment/>"],
    ["user", "List files"],
    ["assistant", null],
    ["tool", "a.png"],
    ["tool", ""],
    ["user", [{ type: "image_url", image_url: { url: `data:image/png;base64,${clients.pixel}` } }]],
  ]);
});

describe("what was stored", () => {
  const id = `resp_${"0123456789abcdef".repeat(2)}`;
  const known = new Map<string, InputItem>([["msg_old", { id: "msg_old", role: "user", content: "older" }]]);
  const body = check(ResponsesBody, {
    ...base,
    input: [
      { role: "user", content: "hi" },
      { type: "item_reference", id: "msg_old" },
      { id: "mine", role: "user", content: "x" },
    ],
  });
  const encoder = responsesEncoder({ id, createdAt: 1, now: () => 2, request: body });
  encodeAll(encoder, answers.find(([name]) => name === "thoughts, call, text")![1]);
  const stored = toStored({ body, affinity: "a" }, known, encoder.whole());

  test("is asked and answered, each with an id that leads back", () => {
    const hex = id.slice(5);
    expect(itemsOf(stored).map((item) => item.id)).toEqual([
      ...[`msg_${hex}_in0`, "msg_old", "mine", `rs_${hex}_0`, `fc_${hex}_1`, `msg_${hex}_2`],
    ]);
    expect([responseOf(`msg_${hex}_in0`), responseOf(`fc_${hex}_1`)]).toEqual([id, id]);
    expect(["msg_old", "msg_1_2", ""].map(responseOf)).toEqual([undefined, undefined, undefined]);
  });

  test("can be said again, and referred to", () => {
    const history = itemsOf(stored);
    const again = read({ ...base, input: "and?" }, { history, items: new Map() }).items;
    expect(again.map(({ type }) => type)).toEqual([
      ...["message", "message", "message", "reasoning", "call", "message", "message"],
    ]);
    const call = history.find(({ type }) => type === "function_call")!;
    const input = [{ type: "item_reference", id: call.id! }, { id: "msg_old" }];
    expect(referredIds(input as InputItem[])).toEqual([call.id, "msg_old"]);
    const found = read(
      { ...base, input: input.slice(0, 1) },
      { history: [], items: new Map([[call.id!, call]]) },
    );
    expect(found.items).toMatchObject([{ type: "call", name: "now" }]);
  });

  test.each<[Json, (string | undefined)[], boolean]>([
    [{ limit: 20, order: "asc" }, [`msg_${id.slice(5)}_in0`, "msg_old", "mine"], false],
    [{ limit: 2, order: "desc" }, ["mine", "msg_old"], true],
    [{ limit: 2, order: "desc", after: "msg_old" }, [`msg_${id.slice(5)}_in0`], false],
    [{ limit: 2, order: "asc", after: "mine" }, [], false],
  ])("lists its input: %o", (query, ids, has_more) => {
    const list = listItems(stored, query) as Json;
    expect([list.data.map((item: Json) => item.id), list.has_more]).toEqual([ids, has_more]);
    expect([list.first_id, list.last_id]).toEqual([ids[0] ?? null, ids.at(-1) ?? null]);
  });
});
