import { expect, test } from "vitest";
import type { Event } from "./canonical.ts";
import { ChatReader } from "./chat-reader.ts";
import type { Json } from "./streams.fixture.ts";

const delta = (fields: Json) => ({ choices: [{ index: 0, delta: fields, finish_reason: null }] });
const finish = (finish_reason: string, more: Json = {}) => ({
  choices: [{ index: 0, delta: {}, finish_reason, ...more }],
});
const figures = {
  ...{ prompt_tokens: 9, completion_tokens: 4, total_tokens: 13 },
  ...{ prompt_tokens_details: { cached_tokens: 3 }, completion_tokens_details: { reasoning_tokens: 2 } },
};
const begin = {
  ...delta({ content: "" }),
  usage: { prompt_tokens: 9, completion_tokens: 0, total_tokens: 9 },
};
const last = { choices: [], usage: figures };
const usage = { promptTokens: 9, completionTokens: 4, cachedTokens: 3, reasoningTokens: 2 };
const started: Event = { type: "started", promptTokens: 9 };
const unused = { promptTokens: 0, completionTokens: 0, cachedTokens: 0, reasoningTokens: 0 };
const end = (reason: string, stopSequence?: string) => ({ type: "finished", reason, stopSequence, usage });

function read(...chunks: unknown[]): Event[] {
  let ids = 0;
  const reader = new ChatReader((prefix) => `${prefix}${ids++}`);
  return [...chunks.flatMap((chunk) => reader.push(chunk)), ...reader.end()];
}

const call = (index: number | undefined, fields: Json) => delta({ tool_calls: [{ index, ...fields }] });

test.each<[string, unknown[], unknown[]]>([
  [
    "a neuron's answer",
    [
      delta({ role: "assistant", content: "" }),
      begin,
      delta({ content: "a" }),
      delta({ content: "" }),
      finish("stop"),
      last,
    ],
    [started, { type: "text", text: "a" }, end("stop")],
  ],
  [
    "reasoning under either name",
    [begin, delta({ reasoning_content: "a" }), delta({ reasoning: "b" }), finish("length"), last],
    [started, { type: "reasoning", text: "a" }, { type: "reasoning", text: "b" }, end("length")],
  ],
  [
    "calls, their ids and names first",
    [
      begin,
      call(0, { id: "c0", type: "function", function: { name: "f", arguments: "" } }),
      call(0, { function: { arguments: '{"a"' } }),
      call(0, { function: { arguments: ":1}" } }),
      call(1, { id: "c1", function: { name: "g", arguments: "{}" } }),
      ...[finish("tool_calls"), last],
    ],
    [
      ...[started, { type: "call", id: "c0", name: "f" }, { type: "arguments", json: '{"a"' }],
      ...[
        { type: "arguments", json: ":1}" },
        { type: "call", id: "c1", name: "g" },
      ],
      ...[{ type: "arguments", json: "{}" }, end("tool_calls")],
    ],
  ],
  [
    "whole calls without numbers or ids, and a finish that says stop",
    [
      begin,
      delta({
        tool_calls: [
          { function: { name: "f", arguments: "{}" } },
          { function: { name: "g", arguments: "[]" } },
        ],
      }),
      ...[finish("stop"), last],
    ],
    [
      ...[started, { type: "call", id: "call_0", name: "f" }, { type: "arguments", json: "{}" }],
      ...[{ type: "call", id: "call_1", name: "g" }, { type: "arguments", json: "[]" }, end("tool_calls")],
    ],
  ],
  [
    "the stop string",
    [begin, delta({ content: "a" }), finish("stop", { stop_reason: "END" }), last],
    [started, { type: "text", text: "a" }, end("stop", "END")],
  ],
  [
    "a stop token's number is no string",
    [begin, finish("stop", { stop_reason: 151645 }), last],
    [started, end("stop")],
  ],
  [
    "another server's, that never says how long the prompt is",
    [delta({ content: "a" }), finish("function_call")],
    [
      { type: "started", promptTokens: 0 },
      { type: "text", text: "a" },
      { type: "finished", reason: "tool_calls", stopSequence: undefined, usage: unused },
    ],
  ],
  [
    "nothing but nonsense in between",
    [null, 7, "x", [], {}, { choices: {} }, { choices: [null] }, { choices: [{ delta: "x" }] }, begin].concat(
      [
        delta({ content: 7, tool_calls: "x" }),
        delta({ tool_calls: [null, 3] }),
        finish("stop"),
        last,
      ] as never[],
    ),
    [started, end("stop")],
  ],
  [
    "figures that are none",
    [
      {
        choices: [],
        usage: { prompt_tokens: -1, completion_tokens: "4", prompt_tokens_details: { cached_tokens: NaN } },
      },
      finish("stop"),
    ],
    [
      { type: "started", promptTokens: 0 },
      { type: "finished", reason: "stop", stopSequence: undefined, usage: unused },
    ],
  ],
])("%s", (_, chunks, want) => expect(read(...chunks)).toEqual(want));

test.each<[string, unknown[], Json]>([
  ["no finish", [begin, delta({ content: "a" })], { code: "upstream_interrupted", status: 502 }],
  ["nothing", [], { code: "upstream_interrupted" }],
  ["a call without a name", [begin, call(0, { function: { arguments: "{}" } })], { code: "upstream_failed" }],
  [
    "more for a call that is over",
    [
      ...[begin, call(0, { function: { name: "f" } }), call(1, { function: { name: "g" } })],
      call(0, { function: { arguments: "{}" } }),
    ],
    { code: "upstream_failed" },
  ],
  [
    "the neuron's own error",
    [
      begin,
      { error: { message: "out of memory", type: "server_error", code: "out_of_memory", param: null } },
    ],
    { code: "out_of_memory", message: "out of memory", status: 500, param: null },
  ],
  [
    "one of the client's making",
    [{ error: { type: "invalid_request_error", code: "x", message: "m", param: "p" } }],
    {
      ...{ status: 400, code: "x", param: "p" },
    },
  ],
  ["an error with nothing in it", [{ error: { code: "a b" } }], { status: 500, code: "upstream_error" }],
])("%s is a failure", (_, chunks, failure) => {
  expect(read(...chunks).find(({ type }) => type === "failed")).toMatchObject({ failure });
});
