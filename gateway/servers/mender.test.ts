import { expect, test } from "vitest";
import type { Failure } from "../dialects/canonical.ts";
import { failureIn } from "./failures.ts";
import { mendedEvents } from "./mended.ts";
import { ChunkMender, mendWhole } from "./mender.ts";

let ids = 0;
const naming = () => {
  ids = 0;
  return { newId: (prefix: string) => `${prefix}new${++ids}`, created: 77, model: "ours" };
};
const head = { id: "x", object: "chat.completion.chunk", created: 5, model: "theirs" };
const chunk = (delta: object | undefined, finish_reason?: unknown, index: number | undefined = 0) => ({
  ...head,
  choices: [
    {
      ...(index !== undefined && { index }),
      ...(delta && { delta }),
      ...(finish_reason !== undefined && { finish_reason }),
    },
  ],
});
const call = (named: object, more: object = {}) => ({ tool_calls: [{ ...more, function: named }] });

/** What a client that puts the deltas together has in the end. */
function gathered(chunks: readonly object[]) {
  const seen = { text: "", reasoning: "", finish: [] as unknown[], calls: [] as Record<string, string>[] };
  for (const { choices } of chunks as {
    choices: { delta: Record<string, unknown>; finish_reason: unknown }[];
  }[])
    for (const { delta, finish_reason } of choices) {
      seen.text += (delta.content as string) ?? "";
      seen.reasoning += (delta.reasoning_content as string) ?? "";
      if (finish_reason) seen.finish.push(finish_reason);
      for (const one of (delta.tool_calls ?? []) as {
        index: number;
        id?: string;
        function: { name?: string; arguments?: string };
      }[]) {
        const at = (seen.calls[one.index] ??= { id: "", name: "", args: "" });
        at.id += one.id ?? "";
        at.name += one.function.name ?? "";
        at.args += one.function.arguments ?? "";
      }
    }
  return seen;
}

function mend(chunks: readonly object[]): object[] {
  const mender = new ChunkMender(naming());
  return [...chunks.flatMap((one) => mender.push(structuredClone(one))), ...mender.end()];
}

const two = [
  { id: "c1", name: "a", args: '{"x":1}' },
  { id: "c2", name: "b", args: '{"y":2}' },
];

test.each<[string, object[], object]>([
  [
    "as it should be",
    [chunk({ role: "assistant", content: "" }), chunk({ content: "hi" }), chunk({}, "stop")],
    { text: "hi", finish: ["stop"] },
  ],
  ["no finish_reason at all", [chunk({ content: "hi" })], { text: "hi", finish: ["stop"] }],
  [
    "an empty finish_reason in every chunk",
    [chunk({ content: "h" }, ""), chunk({ content: "i" }, "")],
    { text: "hi", finish: ["stop"] },
  ],
  ["a finish_reason of its own", [chunk({ content: "hi" }, "eos_token")], { finish: ["stop"] }],
  ["max_tokens for length", [chunk({ content: "hi" }, "max_tokens")], { finish: ["length"] }],
  [
    "reasoning under its other name",
    [chunk({ reasoning: "hm" }), chunk({ content: "hi" }, "stop")],
    { reasoning: "hm", text: "hi" },
  ],
  [
    "reasoning under both names",
    [chunk({ reasoning: "hm", reasoning_content: "hm" }, "stop")],
    { reasoning: "hm" },
  ],
  ["no delta", [chunk(undefined, "stop")], { finish: ["stop"] }],
  ["no index", [chunk({ content: "hi" }, "stop", undefined)], { text: "hi", finish: ["stop"] }],
  [
    "calls as they should be, in pieces",
    [
      chunk(call({ name: "a", arguments: "" }, { index: 0, id: "c1" })),
      chunk(call({ arguments: '{"x":' }, { index: 0 })),
      chunk(call({ arguments: "1}" }, { index: 0 })),
      chunk(call({ name: "b", arguments: '{"y":2}' }, { index: 1, id: "c2" })),
      chunk({}, "tool_calls"),
    ],
    { calls: two, finish: ["tool_calls"] },
  ],
  [
    "whole calls, all with index 0, ended by stop",
    [
      chunk(call({ name: "a", arguments: '{"x":1}' }, { index: 0, id: "c1" })),
      chunk(call({ name: "b", arguments: '{"y":2}' }, { index: 0, id: "c2" })),
      chunk({}, "stop"),
    ],
    { calls: two, finish: ["tool_calls"] },
  ],
  [
    "calls without any index, arguments as objects, in one delta",
    [
      chunk({
        tool_calls: [
          { id: "c1", function: { name: "a", arguments: { x: 1 } } },
          { id: "c2", function: { name: "b", arguments: { y: 2 } } },
        ],
      }),
    ],
    { calls: two, finish: ["tool_calls"] },
  ],
  [
    "pieces without an index belong to the last call",
    [
      chunk(call({ name: "a" }, { id: "c1" })),
      chunk(call({ arguments: '{"x"' })),
      chunk(call({ arguments: ":1}" })),
    ],
    { calls: [two[0]] },
  ],
  [
    "name and id repeated in every piece",
    [
      chunk(call({ name: "a", arguments: '{"x":' }, { index: 0, id: "c1" })),
      chunk(call({ name: "a", arguments: "1}" }, { index: 0, id: "c1" })),
    ],
    { calls: [two[0]] },
  ],
  [
    "pieces of interleaved calls",
    [
      chunk(call({ name: "a" }, { index: 0, id: "c1" })),
      chunk(call({ name: "b" }, { index: 1, id: "c2" })),
      chunk(call({ arguments: '{"x":1}' }, { index: 0 })),
      chunk(call({ arguments: '{"y":2}' }, { index: 1 })),
    ],
    { calls: two },
  ],
  [
    "a call without id",
    [chunk(call({ name: "a", arguments: null }, { index: 0 }))],
    { calls: [{ id: "call_new1", name: "a", args: "" }] },
  ],
  [
    "usage before any end",
    [chunk({ content: "hi" }), { ...head, choices: [], usage: { prompt_tokens: 3 } }],
    { text: "hi", finish: ["stop"] },
  ],
  [
    "two choices, one of them without end",
    [chunk({ content: "a" }, "stop", 0), chunk({ content: "b" }, null, 1)],
    { text: "ab", finish: ["stop", "stop"] },
  ],
])("%s", (_, chunks, want) => {
  expect(gathered(mend(chunks))).toMatchObject(want);
});

test("the end comes before the usage, and every chunk has its head", () => {
  const bare = [{ choices: [{ delta: { content: "hi" } }] }, { choices: [], usage: { prompt_tokens: 3 } }];
  const chunks = mend(bare) as { choices: unknown[]; usage?: unknown }[];
  expect(chunks.map(({ choices, usage }) => [choices.length, usage !== undefined])).toEqual([
    [1, false],
    [1, false],
    [0, true],
  ]);
  const wanted = { id: "chatcmpl-new1", object: "chat.completion.chunk", created: 77, model: "ours" };
  for (const one of chunks) expect(one).toMatchObject(wanted);
  expect(mend([chunk({ content: "hi" }, "stop")])[0]).toMatchObject({ id: "x", created: 5, model: "ours" });
});

test("a whole answer", () => {
  const body = {
    choices: [
      {
        message: {
          ...{ content: "", reasoning: "hm" },
          tool_calls: [
            { function: { name: "a", arguments: { x: 1 } } },
            { id: "c2", index: 0, function: { name: "b", arguments: "{}" } },
          ],
        },
        finish_reason: "stop",
      },
      { message: { content: "hi" }, finish_reason: null },
    ],
  };
  const { choices, ...rest } = mendWhole(body, naming()) as {
    choices: { message: object; finish_reason: string }[];
  };
  expect(rest).toEqual({ id: "chatcmpl-new2", object: "chat.completion", created: 77, model: "ours" });
  expect(choices.map(({ finish_reason }) => finish_reason)).toEqual(["tool_calls", "stop"]);
  expect(choices[0]!.message).toEqual({
    ...{ content: "", reasoning_content: "hm" },
    tool_calls: [
      { id: "call_new1", type: "function", function: { name: "a", arguments: '{"x":1}' } },
      { id: "c2", type: "function", function: { name: "b", arguments: "{}" } },
    ],
  });
  expect(mendWhole({ choices: "no" }, naming())).toBeUndefined();
  expect(mendWhole({ error: "boom" }, naming())).toMatchObject({ status: 502 });
});

async function streamed(pieces: string[]): Promise<string> {
  let out = "";
  const body = (async function* () {
    for (const piece of pieces) yield Buffer.from(piece);
  })();
  for await (const bytes of mendedEvents(body, new ChunkMender(naming()))) out += bytes.toString();
  return out;
}

const event = (value: object) => `data: ${JSON.stringify(value)}\n\n`;
const [hi, end] = [event(chunk({ content: "grüß" })), event(chunk({}, "stop"))];

test("bytes: however they are cut, with CRLF, comments, fields of other kinds and no last blank line", async () => {
  const plain = await streamed([hi + end + "data: [DONE]\n\n"]);
  const events = plain.split("\n\n");
  expect(events.length).toBe(4);
  expect(events[2]).toBe("data: [DONE]");
  const dressed = (
    ": hello\n\nevent: message\nid: 4\n" +
    hi +
    "retry: 5\n\n" +
    end +
    "data:[DONE]"
  ).replaceAll("\n", "\r\n");
  for (const size of [1, 7, 1000]) {
    const bytes = Buffer.from(dressed);
    const pieces: Buffer[] = [];
    for (let at = 0; at < bytes.length; at += size) pieces.push(bytes.subarray(at, at + size));
    let out = "";
    const body = (async function* () {
      yield* pieces;
    })();
    for await (const part of mendedEvents(body, new ChunkMender(naming()))) out += part.toString();
    expect(out).toBe(`:\n\n${plain}`);
  }
});

test.each<[string, string[], RegExp]>([
  ["no [DONE], but an end", [hi, end], /"finish_reason":"stop".*\n\ndata: \[DONE\]\n\n$/s],
  ["[DONE], but no end", [hi, "data: [DONE]\n\n"], /"finish_reason":"stop".*\n\ndata: \[DONE\]\n\n$/s],
  ["neither: broken off, and for the reader to tell", [hi], /grüß"}.*\n\n$/s],
  [
    "nothing after [DONE]",
    [`${hi}data: [DONE]\n\n${hi}`],
    /^data: [^\n]*\n\ndata: [^\n]*stop[^\n]*\n\ndata: \[DONE\]\n\n$/,
  ],
  ["nonsense is left out", [`data: {"cho\n\n${hi}${end}`], /^data: \{"id"/],
  [
    "an error",
    [hi, event({ error: { message: "boom at /home/me", code: 500 } }), hi],
    /"error":\{"message":"The server with this model failed\.","type":"server_error","param":null,"code":"upstream_failed"\}\}\n\n$/,
  ],
  [
    "an error in a field of its own",
    [
      'error: {"code":400,"message":"too big","type":"exceed_context_size_error","n_prompt_tokens":90,"n_ctx":64}\n\n',
    ],
    /"message":"This model's maximum context length is 64 tokens, but the prompt has 90 tokens\."/,
  ],
  ["an error as a text", ['event: error\ndata: {"error":"boom"}\n\n'], /upstream_failed/],
])("a stream with %s", async (_, pieces, want) => {
  const out = await streamed(pieces);
  expect(out).toMatch(want);
  if (/error|broken/.test(_)) expect(out).not.toContain("[DONE]");
});

test("an event without end is an error, not memory", async () => {
  const flood = ["data: ", ...Array.from({ length: 20 }, () => "x".repeat(100_000))];
  await expect(streamed(flood)).rejects.toThrow(/longer than any event/);
});

const mistake = { status: 400, type: "invalid_request_error" };
const overflow = { ...mistake, code: "context_length_exceeded", param: "messages" };

test.each<[string, unknown, number | undefined, Partial<Failure> | undefined]>([
  [
    "OpenAI's",
    { error: { message: "n must be 1", type: "x", code: "bad_n", param: "n" } },
    400,
    { ...mistake, message: "n must be 1", code: "bad_n", param: "n" },
  ],
  [
    "vLLM's",
    { object: "error", message: "n must be 1", type: "BadRequestError", param: null, code: 400 },
    400,
    { ...mistake, message: "n must be 1", code: "invalid_request_body" },
  ],
  [
    "FastAPI's",
    { detail: [{ loc: ["body", "n"], msg: "bad" }] },
    422,
    { ...mistake, message: '[{"loc":["body","n"],"msg":"bad"}]' },
  ],
  ["a text", { error: "n must be 1" }, 400, { ...mistake, message: "n must be 1" }],
  [
    "vLLM's overflow",
    {
      object: "error",
      message: "This model's maximum context length is 64 tokens. However, you requested 90 tokens.",
      code: 400,
    },
    400,
    {
      ...overflow,
      message: "This model's maximum context length is 64 tokens. However, you requested 90 tokens.",
    },
  ],
  [
    "llama.cpp's overflow",
    {
      error: {
        code: 500,
        message: "the request exceeds the available context size",
        type: "exceed_context_size_error",
        n_prompt_tokens: 1407,
        n_ctx: 256,
      },
    },
    500,
    {
      ...overflow,
      message: "This model's maximum context length is 256 tokens, but the prompt has 1407 tokens.",
    },
  ],
  [
    "llama.cpp's other overflow",
    { error: { code: 500, message: "Context size has been exceeded.", type: "server_error" } },
    500,
    overflow,
  ],
  [
    "a model that is gone",
    { error: { message: "model 'x' not found", type: "api_error" } },
    404,
    { status: 404, code: "model_not_found" },
  ],
  [
    "llama.cpp that loads",
    { error: { code: 503, message: "Loading model", type: "unavailable_error" } },
    503,
    { status: 503, code: "model_unavailable" },
  ],
  [
    "too many",
    { error: { message: "slow down" } },
    429,
    { status: 429, type: "rate_limit_error", code: "rate_limit_exceeded" },
  ],
  [
    "a refused key",
    { error: { message: "Invalid key sk-secret" } },
    401,
    { status: 502, code: "upstream_failed", message: "The server with this model failed." },
  ],
  [
    "a crash",
    { error: { message: "CUDA error at /build/x.cu" } },
    500,
    { status: 502, message: "The server with this model failed." },
  ],
  [
    "within a stream, by its own word",
    { error: { code: "400", message: "bad" } },
    undefined,
    { ...mistake, message: "bad" },
  ],
  [
    "within a stream, by its type",
    { error: { type: "invalid_request_error", message: "bad" } },
    undefined,
    { ...mistake },
  ],
  ["no error: null", { error: null, choices: [] }, undefined, undefined],
  ["no error: a chunk", { object: "chat.completion.chunk" }, undefined, undefined],
  ["nothing", "boom", 500, undefined],
])("the error is %s", (_, body, status, want) => {
  const found = failureIn(body, status);
  if (want === undefined) expect(found).toBeUndefined();
  else expect(found).toMatchObject(want);
});
