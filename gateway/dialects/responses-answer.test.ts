import { describe, expect, test } from "vitest";
import { answers, args, call, failed, finished, started, text, thought } from "./events.fixture.ts";
import type { ResponseHead } from "./responses-answer.ts";
import { responsesEncoder } from "./responses-answer.ts";
import type { ResponsesBody } from "./responses-body.ts";
import { seal } from "./seal.ts";
import type { Json } from "./streams.fixture.ts";
import { encodeAll, readResponse } from "./streams.fixture.ts";

const id = `resp_${"0123456789abcdef".repeat(2)}`;
const hex = id.slice(5);

function head(more: Partial<ResponsesBody> = {}): ResponseHead {
  return { id, createdAt: 100, now: () => 107, request: { model: "demo", input: "hi", ...more } };
}

describe.each<[string, Partial<ResponsesBody>]>([
  ["thoughts as they are", {}],
  ["thoughts as a summary", { reasoning: { summary: "auto" } }],
  ["thoughts sealed", { include: ["reasoning.encrypted_content"] }],
])("%s", (_name, more) => {
  test.each(answers)("%s: numbered, in order, and the same whole", (_, events) => {
    const encoder = responsesEncoder(head(more));
    const { response } = readResponse(encodeAll(encoder, events));
    expect(JSON.parse(JSON.stringify(encoder.whole()))).toEqual(response);
  });
});

test("text and two calls become three items, ids made of the response's", () => {
  const encoder = responsesEncoder(head());
  encodeAll(encoder, answers.find(([name]) => name === "text and two calls at once")![1]);
  expect(encoder.whole().output).toEqual([
    {
      ...{ type: "message", id: `msg_${hex}_0`, status: "completed", role: "assistant" },
      content: [{ type: "output_text", text: "I look.", annotations: [], logprobs: [] }],
    },
    {
      ...{ type: "function_call", id: `fc_${hex}_1`, status: "completed", call_id: "call_a", name: "bash" },
      arguments: '{"cmd":"ls"}',
    },
    {
      ...{ type: "function_call", id: `fc_${hex}_2`, status: "completed", call_id: "call_b", name: "read" },
      arguments: '{"path":"/é"}',
    },
  ]);
});

test.each<[string, Partial<ResponsesBody>, Json]>([
  ["plain", {}, { summary: [], content: [{ type: "reasoning_text", text: "Hm." }] }],
  ["summary", { reasoning: { summary: "auto" } }, { summary: [{ type: "summary_text", text: "Hm." }] }],
  [
    "sealed",
    { include: ["reasoning.encrypted_content"], reasoning: { summary: "auto" } },
    { summary: [{ type: "summary_text", text: "Hm." }], encrypted_content: seal("Hm.") },
  ],
])("thoughts, %s", (_, more, want) => {
  const encoder = responsesEncoder(head(more));
  encodeAll(encoder, [started, thought("Hm"), thought("."), text("ok"), finished()]);
  expect(encoder.whole().output[0]).toEqual({
    ...{ type: "reasoning", id: `rs_${hex}_0`, status: "completed" },
    ...want,
  });
});

test.each<[ReturnType<typeof finished>, Json]>([
  [finished(), { status: "completed", incomplete_details: null, completed_at: 107 }],
  [
    finished("length"),
    { status: "incomplete", incomplete_details: { reason: "max_output_tokens" }, completed_at: null },
  ],
  [finished("content_filter"), { status: "incomplete", incomplete_details: { reason: "content_filter" } }],
])("%o ends with %o", (end, want) => {
  const encoder = responsesEncoder(head());
  const frames = encodeAll(encoder, [started, text("a"), end]);
  expect(frames.at(-1)!.event).toBe(`response.${want.status}`);
  expect(readResponse(frames).response).toMatchObject({ ...want, error: null });
  expect((encoder.whole().output[0] as Json).status).toBe(want.status);
});

test("the figures", () => {
  const encoder = responsesEncoder(head());
  encodeAll(encoder, [started, text("a"), finished()]);
  expect(encoder.whole().usage).toEqual({
    ...{ input_tokens: 31, input_tokens_details: { cached_tokens: 5, cache_write_tokens: 0 } },
    ...{ output_tokens: 17, output_tokens_details: { reasoning_tokens: 7 }, total_tokens: 48 },
  });
});

test("a failure: the error that stops SDKs, then the end of the response", () => {
  const frames = encodeAll(responsesEncoder(head()), [started, call("c", "f"), args("{"), failed]);
  const { response, error } = readResponse(frames);
  expect(frames.slice(-2).map(({ event }) => event)).toEqual(["error", "response.failed"]);
  expect(error).toMatchObject({ code: "upstream_interrupted", message: "broken", param: null });
  expect(response).toMatchObject({ status: "failed", error: { code: "server_error", message: "broken" } });
});

test("keepalives are the response as it stands, at any moment", () => {
  const events = [started, thought("a"), text("b"), call("c", "f"), args("{}"), finished("tool_calls")];
  const encoder = responsesEncoder(head());
  const frames = [...encoder.open(), ...encoder.keepalive()];
  for (const event of events)
    frames.push(...encoder.event(event), ...(event.type === "finished" ? [] : encoder.keepalive()));
  const { response } = readResponse(JSON.parse(JSON.stringify(frames)) as typeof frames);
  expect(response.output).toHaveLength(3);
});

test("the machine sees what is wrong", () => {
  const good = encodeAll(responsesEncoder(head()), [started, text("a"), finished()]);
  const renumbered = (frames: typeof good) =>
    frames.map((frame, i) => ({ ...frame, data: { ...frame.data, sequence_number: i } }));
  expect(() => readResponse(good)).not.toThrow();
  good.forEach((frame, i) =>
    expect(() => readResponse(renumbered(good.filter((_, k) => k !== i))), frame.event).toThrow(),
  );
  expect(() => readResponse(good.slice(1))).toThrow();
});

test("what was asked comes back, what was not as the value that means so", () => {
  const tools = [
    { type: "function", name: "f", parameters: { type: "object" } },
    { type: "web_search", external_web_access: false },
  ];
  const asked: Partial<ResponsesBody> = {
    ...{ instructions: "be brief", temperature: 0.3, top_p: 0.9, max_output_tokens: 5, store: false },
    ...{ metadata: { a: "b" }, tools, tool_choice: "none", parallel_tool_calls: true },
    ...{ prompt_cache_key: "k", safety_identifier: "s", user: "u", previous_response_id: "resp_x" },
    text: { format: { type: "json_object" } },
    reasoning: { effort: "low" },
  };
  expect(responsesEncoder(head(asked)).whole()).toMatchObject({
    ...{ ...asked, tools: [{ type: "function", name: "f", strict: false, description: null }] },
    reasoning: { effort: "low", summary: null },
    text: { format: { type: "json_object" } },
  });
  // The keys that Open Responses wants in every response.
  const keys =
    "id object created_at completed_at status incomplete_details model previous_response_id instructions output " +
    "error tools tool_choice truncation parallel_tool_calls text top_p presence_penalty frequency_penalty " +
    "top_logprobs temperature reasoning usage max_output_tokens max_tool_calls store background service_tier " +
    "metadata safety_identifier prompt_cache_key";
  expect(Object.keys(responsesEncoder(head()).whole())).toEqual(expect.arrayContaining(keys.split(" ")));
});
