import { expect, test } from "vitest";
import type { Message, Settings } from "../keep/conversation.ts";
import { emptyAnswer } from "./answer.ts";
import { parseTools, toBody } from "./request.ts";

const pictures = new Map([["p1", "data:image/png;base64,AA"]]);
const tools = '[{"type": "function", "function": {"name": "weather"}}]';

function body(messages: Message[], settings: Settings = {}) {
  return toBody(messages, settings, "demo", pictures);
}
const user = (text: string, ...images: string[]): Message => ({ role: "user", text, images });

test("what is not set is not sent", () => {
  expect(body([user("hi")], { system: "  " })).toEqual({
    ...{ model: "demo", stream: true, stream_options: { include_usage: true } },
    messages: [{ role: "user", content: "hi" }],
  });
});

test("every setting, zero and false included", () => {
  const settings = { system: "Be brief.", temperature: 0, top_p: 0.5, max_tokens: 7, thinking: false, tools };
  expect(body([user("hi")], settings)).toMatchObject({
    messages: [{ role: "system", content: "Be brief." }, {}],
    ...{ temperature: 0, top_p: 0.5, max_tokens: 7, chat_template_kwargs: { enable_thinking: false } },
    tools: [{ type: "function", function: { name: "weather" } }],
  });
});

test("pictures before the text; one that is gone is left out", () => {
  const image = { type: "image_url", image_url: { url: "data:image/png;base64,AA" } };
  expect(body([user("what?", "p1", "gone")]).messages).toEqual([
    { role: "user", content: [image, { type: "text", text: "what?" }] },
  ]);
  expect(body([user("", "p1")]).messages).toEqual([{ role: "user", content: [image] }]);
});

test("answers with reasoning, calls and results; failed ones without a word are left out", () => {
  const call = { id: "call_1", name: "weather", arguments: '{"city":"Oslo"}' };
  const messages: Message[] = [
    user("rain?"),
    { ...emptyAnswer("demo"), state: "failed" },
    { ...emptyAnswer("demo"), reasoning: "Look.", calls: [call] },
    { role: "tool", callId: "call_1", text: "yes" },
    { ...emptyAnswer("demo"), content: "It rains." },
  ];
  expect(body(messages).messages).toEqual([
    { role: "user", content: "rain?" },
    {
      ...{ role: "assistant", content: null, reasoning_content: "Look." },
      tool_calls: [
        { id: "call_1", type: "function", function: { name: "weather", arguments: '{"city":"Oslo"}' } },
      ],
    },
    { role: "tool", tool_call_id: "call_1", content: "yes" },
    { role: "assistant", content: "It rains." },
  ]);
});

test.each([
  ["[", "not valid JSON"],
  ["{}", "must be a list"],
  ["[{}]", "must be a list"],
  ["[null]", "must be a list"],
])("tools: %s", (text, why) => {
  expect(() => parseTools(text)).toThrow(why);
  expect(parseTools(" ")).toEqual([]);
});
