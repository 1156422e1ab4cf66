import { expect, test } from "vitest";
import { emptyAnswer, errorOf, ServerError, speedOf, withChunk } from "./answer.ts";

const delta = (fields: object, more: object = {}) => ({ choices: [{ index: 0, delta: fields, ...more }] });

function grown(...chunks: [number, unknown][]) {
  return chunks.reduce((answer, [ms, chunk]) => withChunk(answer, chunk, ms), emptyAnswer("demo"));
}

test("role, reasoning, content, finish with timings, usage", () => {
  const answer = grown(
    [100, delta({ role: "assistant", content: "" })],
    [200, delta({ reasoning_content: "Let me " })],
    [300, delta({ reasoning_content: "see." })],
    [700, delta({ content: "Hel" })],
    [800, delta({ content: "lo" })],
    [900, { ...delta({}, { finish_reason: "stop" }), timings: { prefill_ms: 40, decode_ms: 500 } }],
    [
      950,
      {
        choices: [],
        usage: {
          ...{ prompt_tokens: 11, completion_tokens: 20 },
          prompt_tokens_details: { cached_tokens: 3 },
          completion_tokens_details: { reasoning_tokens: 15 },
        },
      },
    ],
  );
  expect(answer).toMatchObject({
    ...{ content: "Hello", reasoning: "Let me see.", finish: "stop", calls: [] },
    usage: { prompt: 11, completion: 20, cached: 3, reasoning: 15 },
    timings: { firstToken: 200, thought: 500, prefill: 40, decode: 500 },
  });
  expect(speedOf(answer)).toBe(40);
});

test("tool calls in pieces, several of them", () => {
  const call = (index: number, fields: object) => delta({ tool_calls: [{ index, ...fields }] });
  const answer = grown(
    [1, call(0, { id: "a", function: { name: "weather", arguments: "" } })],
    [2, call(0, { function: { arguments: '{"city":' } })],
    [3, call(1, { id: "b", function: { name: "time", arguments: "{}" } })],
    [4, call(0, { function: { arguments: '"Oslo"}' } })],
  );
  expect(answer.calls).toEqual([
    { id: "a", name: "weather", arguments: '{"city":"Oslo"}' },
    { id: "b", name: "time", arguments: "{}" },
  ]);
  expect(answer.timings).toEqual({ firstToken: 1 });
});

test("speed by our own clock where the server tells no times", () => {
  const usage = { prompt: 1, completion: 21 };
  const answer = { ...emptyAnswer("demo"), usage };
  expect(speedOf({ ...answer, timings: { firstToken: 1000, total: 3000 } })).toBe(10);
  expect(speedOf({ ...answer, timings: { firstToken: 1000 } })).toBeUndefined();
  expect(speedOf({ ...answer, timings: { firstToken: 1000, total: 1099 } })).toBeUndefined();
  expect(speedOf(answer)).toBeUndefined();
});

test("an error within a stream, with what stands for a missing message", () => {
  const error = { message: "the GPU is gone", code: "device_lost" };
  expect(() => grown([1, { error }])).toThrow(new ServerError("the GPU is gone", "device_lost"));
  expect(errorOf(error).code).toBe("device_lost");
  expect(errorOf("plain").message).toBe("plain");
  expect(errorOf({}).message).not.toBe("");
});

test.each([
  null,
  7,
  "x",
  [],
  {},
  { choices: null },
  { choices: [null] },
  delta({ content: 5, tool_calls: [3] }),
])("a chunk that is %j does no harm", (chunk) => {
  expect(grown([1, chunk])).toMatchObject({ content: "", reasoning: "", state: "streaming" });
});
