import { expect, test } from "vitest";
import { messagesEncoder } from "../dialects/messages-answer.ts";
import { responsesEncoder } from "../dialects/responses-answer.ts";
import type { Json } from "../dialects/streams.fixture.ts";
import { framesOf, readMessage, readResponse } from "../dialects/streams.fixture.ts";
import { args, called, ending, keepalive, opening, said, thought } from "../fixtures/scripted.fixture.ts";
import { Transcoder } from "./transcoder.ts";

const stream =
  ": comment\n\n" +
  [opening, thought("Hm 🦊"), keepalive, said("Grüße "), said("dir"), called(0, "call_a", "f")].join("") +
  args(0, '{"é":').replaceAll("\n", "\r\n") +
  args(0, "1}") +
  ending("tool_calls");

const messages = () =>
  messagesEncoder({
    ...{ id: "msg_1", model: "demo", requestId: "r", thoughts: "shown", contextManagement: false },
  });
const responses = () =>
  responsesEncoder({ id: "resp_1", createdAt: 1, now: () => 2, request: { model: "demo", input: "x" } });

function transcode(encoder: ReturnType<typeof messages>, pieces: Buffer[]) {
  let ms = 0;
  const transcoder = new Transcoder(
    encoder,
    (prefix) => `${prefix}x`,
    () => ++ms,
  );
  const text = pieces.map((piece) => transcoder.push(piece)).join("") + transcoder.end();
  return { transcoder, text, all: text + transcoder.lastWords() };
}

test("however the bytes are cut, the frames are the same", () => {
  const bytes = Buffer.from(stream);
  const whole = transcode(messages(), [bytes]).all;
  expect(readMessage(framesOf(whole)).message.content).toMatchObject([
    { type: "thinking", thinking: "Hm 🦊" },
    { type: "text", text: "Grüße dir" },
    { type: "tool_use", id: "call_a", name: "f", input: { é: 1 } },
  ]);
  for (let cut = 1; cut < bytes.length; cut++)
    expect(transcode(messages(), [bytes.subarray(0, cut), bytes.subarray(cut)]).all).toBe(whole);
  expect(
    transcode(
      messages(),
      [...bytes].map((byte) => Buffer.of(byte)),
    ).all,
  ).toBe(whole);
});

test("the last frames wait", () => {
  const { transcoder, text } = transcode(responses(), [Buffer.from(stream)]);
  expect(transcoder.finished).toBe(true);
  expect(text).not.toContain("response.completed");
  expect(framesOf(transcoder.lastWords()).at(-1)!.event).toBe("response.completed");
});

test("what is metered", () => {
  const { seen } = transcode(messages(), [Buffer.from(stream)]).transcoder;
  expect(seen).toMatchObject({
    ...{ deltas: 6, firstDeltaAt: 1, lastDeltaAt: 6, errorCode: undefined },
    usage: { promptTokens: 31, completionTokens: 17, cachedTokens: 5 },
  });
});

test("an error of the neuron's is the end", () => {
  const error = { message: "lost", type: "server_error", code: "device_lost", param: null };
  const bytes = Buffer.from(
    `${opening}${said("a")}data: ${JSON.stringify({ error })}\n\n${said("b")}${ending()}`,
  );
  const { transcoder, all } = transcode(responses(), [bytes]);
  expect([transcoder.finished, transcoder.seen.errorCode, transcoder.failure!.status]).toEqual([
    ...[false, "device_lost", 500],
  ]);
  expect(all).not.toContain('"b"');
});

test("a server that knows no [DONE] may just end, if it has said how", () => {
  const done = "data: [DONE]\n\n";
  expect(transcode(messages(), [Buffer.from(stream.replace(done, ""))]).transcoder.finished).toBe(true);
  const { transcoder, all } = transcode(messages(), [Buffer.from(opening + said("a") + done)]);
  expect([transcoder.finished, transcoder.failure!.code]).toEqual([false, "upstream_interrupted"]);
  expect((readMessage(framesOf(all)).error as Json).error.type).toBe("api_error");
});

test("an event without an end is not waited for for ever", () => {
  const transcoder = new Transcoder(messages(), () => "x");
  const push = () => {
    for (let i = 0; i < 20; i++) transcoder.push(Buffer.alloc(100_000, "x"));
  };
  expect(push).toThrow("longer than any event may be");
});

test("the machines read the streams", () => {
  const encoder = responses();
  const opened = encoder.open();
  const { all } = transcode(encoder as never, [Buffer.from(stream)]);
  const { response } = readResponse([...JSON.parse(JSON.stringify(opened)), ...framesOf(all)]);
  expect(response.output.map(({ type }: Json) => type)).toEqual(["reasoning", "message", "function_call"]);
});
