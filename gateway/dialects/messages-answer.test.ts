import type Anthropic from "@anthropic-ai/sdk";
import { describe, expect, test } from "vitest";
import { answers, args, call, failed, finished, started, text, thought } from "./events.fixture.ts";
import type { MessageHead } from "./messages-answer.ts";
import { messagesEncoder, thoughtsOf } from "./messages-answer.ts";
import { seal } from "./seal.ts";
import type { Json } from "./streams.fixture.ts";
import { encodeAll, readMessage } from "./streams.fixture.ts";

const head: MessageHead = {
  ...{ id: "msg_1", model: "demo", requestId: "req_1", thoughts: "shown", contextManagement: false },
};

describe.each(["shown", "omitted", "hidden"] as const)("thoughts %s", (thoughts) => {
  test.each(answers)("%s: in order, and the same whole", (_, events) => {
    const encoder = messagesEncoder({ ...head, thoughts });
    const { message } = readMessage(encodeAll(encoder, events));
    expect(JSON.parse(JSON.stringify(encoder.whole()))).toEqual(message);
    const kinds = message.content.map((block: Json) => block.type);
    if (thoughts === "hidden") expect(kinds).not.toContain("thinking");
  });
});

test.each<[string, Parameters<typeof encodeAll>[1], Json[]]>([
  ["text", [started, text("Hel"), text("lo"), finished()], [{ type: "text", text: "Hello" }]],
  [
    "parallel calls",
    [
      ...[started, call("a", "f"), args('{"x":'), args("1}"), call("b", "g"), args("{}")],
      finished("tool_calls"),
    ],
    [
      { type: "tool_use", id: "a", name: "f", input: { x: 1 }, caller: { type: "direct" } },
      { type: "tool_use", id: "b", name: "g", input: {}, caller: { type: "direct" } },
    ],
  ],
  [
    "thoughts are signed before the text begins",
    [started, thought("Hm"), text("Yes"), finished()],
    [
      { type: "thinking", thinking: "Hm", signature: seal("Hm") },
      { type: "text", text: "Yes" },
    ],
  ],
])("%s becomes blocks", (_, events, content) => {
  expect(readMessage(encodeAll(messagesEncoder(head), events)).message.content).toEqual(content);
});

test("omitted thoughts travel in the signature alone", () => {
  const encoder = messagesEncoder({ ...head, thoughts: "omitted" });
  const frames = encodeAll(encoder, [started, thought("secret plan"), text("ok"), finished()]);
  expect(JSON.stringify(frames)).not.toContain("secret plan");
  expect(readMessage(frames).message.content[0]).toEqual({
    ...{ type: "thinking", thinking: "", signature: seal("secret plan") },
  });
});

test("the figures: input without the cached, known from the start, corrected at the end", () => {
  const frames = encodeAll(messagesEncoder(head), [started, text("a"), finished()]);
  const of = (type: string) => frames.find(({ event }) => event === type)!.data as Json;
  expect(of("message_start").message.usage).toMatchObject({
    ...{ input_tokens: 31, output_tokens: 0, cache_read_input_tokens: 0, cache_creation_input_tokens: 0 },
  });
  expect(of("message_delta").usage).toEqual({
    ...{ input_tokens: 26, cache_read_input_tokens: 5, cache_creation_input_tokens: 0 },
    ...{ output_tokens: 17, output_tokens_details: { thinking_tokens: 7 }, server_tool_use: null },
  });
});

test.each([
  [finished("stop"), "end_turn", null],
  [finished("stop", "END"), "stop_sequence", "END"],
  [finished("length"), "max_tokens", null],
  [finished("tool_calls"), "tool_use", null],
  [finished("content_filter"), "refusal", null],
])("%o stops with %s", (end, stop_reason, stop_sequence) => {
  const { message } = readMessage(encodeAll(messagesEncoder(head), [started, text("a"), end]));
  expect(message).toMatchObject({ stop_reason, stop_sequence });
});

test("a failure is an error event, and nothing follows", () => {
  const frames = encodeAll(messagesEncoder(head), [started, text("a"), failed]);
  expect(readMessage(frames).error).toEqual({
    ...{ type: "error", error: { type: "api_error", message: "broken" }, request_id: "req_1" },
  });
  expect(frames.at(-1)!.event).toBe("error");
});

test("keepalives are pings, before the message and within it", () => {
  const encoder = messagesEncoder(head);
  const frames = [
    ...[encoder.keepalive(), encoder.event(started), encoder.event(text("a")), encoder.keepalive()].flat(),
    ...encoder.event(finished()),
  ];
  expect(frames[0]).toEqual({ event: "ping", data: { type: "ping" } });
  expect(readMessage(JSON.parse(JSON.stringify(frames)) as typeof frames).message.content[0].text).toBe("a");
});

test("the machine sees what is wrong", () => {
  const good = encodeAll(messagesEncoder(head), [started, thought("x"), text("a"), finished()]);
  good.forEach((frame, i) => {
    const without = good.filter((_, k) => k !== i);
    // A lost delta is still a stream in order.
    if ((frame.data as Json).delta?.thinking || (frame.data as Json).delta?.text) return;
    expect(() => readMessage(without), frame.event).toThrow();
  });
});

test.each<[Json, string]>([
  [undefined, "hidden"],
  [null, "hidden"],
  [{ type: "disabled" }, "hidden"],
  [{ type: "enabled", budget_tokens: 1024 }, "shown"],
  [{ type: "adaptive", display: "summarized" }, "shown"],
  [{ type: "adaptive", display: "omitted" }, "omitted"],
])("thinking %o is %s", (thinking, want) => expect(thoughtsOf(thinking)).toBe(want));

test("a whole message has every field of the SDK's type", () => {
  const encoder = messagesEncoder({ ...head, contextManagement: true });
  encodeAll(encoder, [started, thought("x"), text("a"), call("c", "f"), args("{}"), finished("tool_calls")]);
  const whole = encoder.whole() as Json;
  const fields: Record<keyof Anthropic.Message, true> = {
    ...{ id: true, container: true, content: true, diagnostics: true, model: true, role: true },
    ...{ stop_details: true, stop_reason: true, stop_sequence: true, type: true, usage: true },
  };
  const figures: Record<keyof Anthropic.Usage, true> = {
    ...{ cache_creation: true, cache_creation_input_tokens: true, cache_read_input_tokens: true },
    ...{ inference_geo: true, input_tokens: true, output_tokens: true, output_tokens_details: true },
    ...{ server_tool_use: true, service_tier: true, speed: true },
  };
  expect(Object.keys(whole).sort()).toEqual([...Object.keys(fields), "context_management"].sort());
  expect(Object.keys(whole.usage).sort()).toEqual(Object.keys(figures).sort());
});
