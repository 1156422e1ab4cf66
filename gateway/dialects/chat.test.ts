import { describe, expect, test } from "vitest";
import type { Canonical, Item, Part } from "./canonical.ts";
import { chatBody, chatMessages, countBody } from "./chat.ts";

const words = (text: string): Part => ({ type: "text", text });
const said = (role: "system" | "developer" | "user" | "assistant", ...texts: string[]): Item => ({
  ...{ type: "message", role, parts: texts.map(words) },
});
const thought = (text: string): Item => ({ type: "reasoning", text });
const call = (id: string): Item => ({ type: "call", id, name: "f", arguments: `{"id":"${id}"}` });
const result = (id: string, text: string, failed = false): Item => ({
  ...{ type: "result", id, parts: [words(text)], failed },
});
const picture: Part = { type: "image", url: "data:image/png;base64,AA" };
const called = (...ids: string[]) =>
  ids.map((id) => ({ id, type: "function", function: { name: "f", arguments: `{"id":"${id}"}` } }));
const shown = { type: "image_url", image_url: { url: "data:image/png;base64,AA" } };

test.each<[string, Item[], object[]]>([
  [
    "roles stay what and where they are",
    [said("system", "s"), said("user", "u"), said("system", "t"), said("developer", "d")],
    [
      { role: "system", content: "s" },
      { role: "user", content: "u" },
      { role: "system", content: "t" },
      { role: "developer", content: "d" },
    ],
  ],
  [
    "two messages of one role stay two",
    [said("user", "a"), said("user", "b")],
    [
      { role: "user", content: "a" },
      { role: "user", content: "b" },
    ],
  ],
  [
    "texts of one system message are set apart",
    [said("system", "a", "b")],
    [{ role: "system", content: "a\n\nb" }],
  ],
  ["texts of one user message are lines", [said("user", "a", "b")], [{ role: "user", content: "a\nb" }]],
  [
    "the model's own pieces were one text",
    [said("assistant", "a", "b")],
    [{ role: "assistant", content: "ab" }],
  ],
  ["nothing said is an empty text", [said("user")], [{ role: "user", content: "" }]],
  [
    "pictures keep their place among the texts",
    [{ type: "message", role: "user", parts: [words("a"), picture, words("b")] }],
    [{ role: "user", content: [words("a"), shown, words("b")] }],
  ],
  [
    "thoughts, text and calls are one turn",
    [thought("t"), said("assistant", "a"), call("1"), call("2")],
    [{ role: "assistant", content: "a", reasoning_content: "t", tool_calls: called("1", "2") }],
  ],
  [
    "calls alone have no content",
    [call("1")],
    [{ role: "assistant", content: null, tool_calls: called("1") }],
  ],
  [
    "thoughts alone have none either",
    [thought("t")],
    [{ role: "assistant", content: "", reasoning_content: "t" }],
  ],
  [
    "two answers in a row stay two",
    [said("assistant", "a"), said("assistant", "b"), thought("t"), said("assistant", "c")],
    [
      { role: "assistant", content: "a" },
      { role: "assistant", content: "b" },
      { role: "assistant", content: "c", reasoning_content: "t" },
    ],
  ],
  [
    "what is said or thought among calls belongs to their turn, so that results can follow them",
    [call("1"), said("assistant", "a"), thought("t"), call("2"), result("1", "x"), result("2", "y")],
    [
      { role: "assistant", content: "a", reasoning_content: "t", tool_calls: called("1", "2") },
      { role: "tool", tool_call_id: "1", content: "x" },
      { role: "tool", tool_call_id: "2", content: "y" },
    ],
  ],
  [
    "results follow their calls, in the order they came; the user's words come after",
    [call("1"), call("2"), said("user", "wait"), result("2", "y"), result("1", "x"), said("user", "go")],
    [
      { role: "assistant", content: null, tool_calls: called("1", "2") },
      { role: "tool", tool_call_id: "2", content: "y" },
      { role: "tool", tool_call_id: "1", content: "x" },
      { role: "user", content: "wait" },
      { role: "user", content: "go" },
    ],
  ],
  [
    "pictures in results follow after all results, as the user's",
    [call("1"), call("2"), { type: "result", id: "1", parts: [picture], failed: false }, result("2", "y")],
    [
      { role: "assistant", content: null, tool_calls: called("1", "2") },
      { role: "tool", tool_call_id: "1", content: "" },
      { role: "tool", tool_call_id: "2", content: "y" },
      { role: "user", content: [shown] },
    ],
  ],
  [
    "a failed call's result says so",
    [call("1"), result("1", "no such file", true)],
    [
      { role: "assistant", content: null, tool_calls: called("1") },
      { role: "tool", tool_call_id: "1", content: "Error: no such file" },
    ],
  ],
])("%s", (_, items, want) => expect(chatMessages(items)).toEqual(want));

const plain: Canonical = {
  ...{ model: "alias", items: [said("user", "hi")], tools: [], choice: "auto", parallelCalls: true },
  ...{ continues: false, thinking: undefined, effort: undefined, verbosity: undefined, format: undefined },
  options: {},
};
const tools = [{ name: "f", description: "d", parameters: { type: "object" } }];
const fn = { type: "function", function: { name: "f", description: "d", parameters: { type: "object" } } };

describe("the body", () => {
  const least = {
    ...{ model: "demo", messages: [{ role: "user", content: "hi" }], stream: true },
    stream_options: { include_usage: true, prompt_usage: true },
  };
  test.each<[string, Partial<Canonical>, object]>([
    ["says nothing that was not said", {}, {}],
    [
      "has the options under their names",
      {
        options: {
          ...{ maxTokens: 5, temperature: 0, topP: 0.5, topK: 3, presencePenalty: 1, frequencyPenalty: -1 },
          stop: ["a"],
        },
      },
      {
        ...{
          max_tokens: 5,
          temperature: 0,
          top_p: 0.5,
          top_k: 3,
          presence_penalty: 1,
          frequency_penalty: -1,
        },
        stop: ["a"],
      },
    ],
    ["leaves out an empty list of stops", { options: { stop: [] } }, {}],
    ["no tools, no choice", { choice: "required", parallelCalls: false }, {}],
    ["tools", { tools }, { tools: [fn], tool_choice: "auto" }],
    ["none of them", { tools, choice: "none" }, { tools: [fn], tool_choice: "none" }],
    [
      "one of them, once",
      { tools, choice: { name: "f" }, parallelCalls: false },
      {
        tools: [fn],
        tool_choice: { type: "function", function: { name: "f" } },
        parallel_tool_calls: false,
      },
    ],
    ["thinking", { thinking: true }, { chat_template_kwargs: { enable_thinking: true } }],
    ["no thinking", { thinking: false }, { chat_template_kwargs: { enable_thinking: false } }],
    [
      "effort and verbosity",
      { effort: "low", verbosity: "high" },
      { reasoning_effort: "low", verbosity: "high" },
    ],
    ["JSON", { format: { type: "json_object" } }, { response_format: { type: "json_object" } }],
    [
      "a schema",
      { format: { type: "json_schema", name: "n", schema: { type: "object" }, strict: true } },
      {
        response_format: {
          type: "json_schema",
          json_schema: { name: "n", schema: { type: "object" }, strict: true },
        },
      },
    ],
    ["a beginning", { continues: true }, { continue_final_message: true, add_generation_prompt: false }],
  ])("%s", (_, more, want) => {
    expect(chatBody({ ...plain, ...more }, "demo")).toEqual({ ...least, ...want });
  });
});

test("to count, only what decides how long the prompt is", () => {
  const all: Canonical = {
    ...{ ...plain, tools, choice: "required", parallelCalls: false, thinking: true, effort: "low" },
    ...{ format: { type: "json_object" }, options: { maxTokens: 5 } },
  };
  expect(countBody(all, "demo")).toEqual({
    ...{ model: "demo", messages: [{ role: "user", content: "hi" }], tools: [fn] },
    ...{ reasoning_effort: "low", chat_template_kwargs: { enable_thinking: true } },
  });
  expect(countBody({ ...all, choice: "none" }, "demo")).toMatchObject({ tool_choice: "none" });
});
