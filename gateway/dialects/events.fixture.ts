// Answers as canonical events, for every dialect's tests.

import type { Event, FinishReason, Usage } from "./canonical.ts";

const usage: Usage = { promptTokens: 31, completionTokens: 17, cachedTokens: 5, reasoningTokens: 7 };
export const started: Event = { type: "started", promptTokens: 31 };
export const text = (words: string): Event => ({ type: "text", text: words });
export const thought = (words: string): Event => ({ type: "reasoning", text: words });
export const call = (id: string, name: string): Event => ({ type: "call", id, name });
export const args = (json: string): Event => ({ type: "arguments", json });
export const finished = (reason: FinishReason = "stop", stopSequence?: string): Event => ({
  ...{ type: "finished", reason, stopSequence, usage },
});
export const failed: Event = {
  type: "failed",
  failure: {
    status: 502,
    type: "server_error",
    code: "upstream_interrupted",
    message: "broken",
    param: null,
  },
};

/** Every kind of answer: name and events. */
export const answers: [string, Event[]][] = [
  ["text", [started, text("Hel"), text("lo"), finished()]],
  ["nothing", [started, finished()]],
  ["thoughts, then text", [started, thought("Let me"), thought(" see."), text("It is 4."), finished()]],
  ["only thoughts, cut", [started, thought("Hm"), finished("length")]],
  ["one call", [started, call("call_a", "bash"), args('{"cmd":'), args('"ls"}'), finished("tool_calls")]],
  [
    "text and two calls at once",
    [
      ...[started, text("I look."), call("call_a", "bash"), args('{"cmd":"ls"}')],
      ...[call("call_b", "read"), args('{"path":"/é"}'), finished("tool_calls")],
    ],
  ],
  ["a call without arguments", [started, call("call_a", "now"), finished("tool_calls")]],
  ["a call that is cut", [started, call("call_a", "bash"), args('{"cmd":"l'), finished("length")]],
  [
    "thoughts, call, text",
    [started, thought("Hm"), call("call_a", "now"), args("{}"), text("done"), finished("tool_calls")],
  ],
  ["text around thoughts", [started, text("a"), thought("b"), text("c"), finished()]],
  ["a stop string", [started, text("one"), finished("stop", "\n\n")]],
  ["a filter", [started, text("one"), finished("content_filter")]],
];
