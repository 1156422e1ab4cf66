import { expect, test } from "vitest";
import type { EngineError } from "../errors.ts";
import { randomSeed, resolveMaxTokens, resolveSampling } from "./sampling.ts";
import type { GenerationOptions } from "./types.ts";

const ours = {
  temperature: 1,
  topK: 0,
  topP: 1,
  minP: 0,
  seed: undefined,
  repetitionPenalty: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
  logitBias: {},
};

test.each<[string, GenerationOptions, unknown, object]>([
  ["nothing said", {}, undefined, {}],
  ["no settings in the file", {}, { eos_token_id: 5, temperature: null }, {}],
  [
    "the checkpoint's values",
    {},
    { do_sample: true, temperature: 0.6, top_k: 20, top_p: 0.95, min_p: 0.1, repetition_penalty: 1.05 },
    { temperature: 0.6, topK: 20, topP: 0.95, minP: 0.1, repetitionPenalty: 1.05 },
  ],
  [
    "the request wins, field by field",
    { temperature: 0.2, topK: 0, seed: -3 },
    { temperature: 0.6, top_k: 20, top_p: 0.95 },
    { temperature: 0.2, topK: 0, topP: 0.95, seed: -3 },
  ],
  ["do_sample false is greedy", { topP: 0.5 }, { do_sample: false }, { temperature: 0, topP: 0.5 }],
  ["unless the request heats it", { temperature: 0.7 }, { do_sample: false }, { temperature: 0.7 }],
  ["top_k -1 means all", { topK: -1 }, { top_k: 20 }, { topK: 0 }],
  [
    "what only a request can say",
    { presencePenalty: -2, frequencyPenalty: 2, logitBias: { 7: -100 } },
    {},
    { presencePenalty: -2, frequencyPenalty: 2, logitBias: { 7: -100 } },
  ],
])("%s", (_, options, config, want) => {
  expect(resolveSampling(options, config)).toEqual({ ...ours, ...want });
});

test.each<[GenerationOptions, string]>([
  [{ temperature: 2.5 }, "temperature: expected a number from 0 to 2, got 2.5"],
  [{ temperature: NaN }, "temperature: expected a number from 0 to 2, got NaN"],
  [{ topP: 1.01 }, "top_p: expected a number from 0 to 1, got 1.01"],
  [{ topK: 1.5 }, "top_k: expected an integer of at least -1, got 1.5"],
  [{ minP: -0.1 }, "min_p: expected a number from 0 to 1, got -0.1"],
  [{ seed: 0.5 }, "seed: expected an integer, got 0.5"],
  [{ repetitionPenalty: 0 }, "repetition_penalty: expected a number from 0.01 to 10, got 0"],
  [{ presencePenalty: 3 }, "presence_penalty: expected a number from -2 to 2, got 3"],
  [{ frequencyPenalty: -2.1 }, "frequency_penalty: expected a number from -2 to 2, got -2.1"],
  [{ maxTokens: 0 }, "max_tokens: expected an integer of at least 1, got 0"],
  [{ topLogprobs: 21 }, "top_logprobs: expected an integer from 0 to 20, got 21"],
  [{ logitBias: { 4: 101 } }, "logit_bias.4: expected a number from -100 to 100, got 101"],
  [{ logitBias: { hello: 1 } as unknown as Record<number, number> }, 'logit_bias: "hello" is not a token id'],
  [{ stop: ["x", ""] }, 'stop[1]: expected a text that is not empty, got ""'],
  [
    { temperature: "hot" } as unknown as GenerationOptions,
    'temperature: expected a number from 0 to 2, got "hot"',
  ],
])("refuses %j", (options, message) => {
  expect(errorOf(() => resolveSampling(options, {}))).toMatchObject({ code: "bad_request", message });
});

test("a bad generation_config.json is the checkpoint's fault, and is named", () => {
  const error = errorOf(() => resolveSampling({}, { top_p: 3 }));
  expect(error.code).toBe("bad_checkpoint");
  expect(error.message).toBe("generation_config.json: top_p: expected a number from 0 to 1, got 3");
});

test.each<[string, GenerationOptions, unknown, number]>([
  ["as asked", { maxTokens: 5 }, {}, 5],
  ["no more than there is room", { maxTokens: 32_000 }, {}, 90],
  ["all the room", {}, undefined, 90],
  ["the checkpoint's advice", {}, { max_new_tokens: 33 }, 33],
  ["the request before the advice", { maxTokens: 40 }, { max_new_tokens: 33 }, 40],
])("max_tokens: %s", (_, options, config, want) => {
  expect(resolveMaxTokens(options, config, { contextLength: 100, promptTokens: 10 })).toBe(want);
});

test("a prompt that fills the context is refused with both figures", () => {
  const error = errorOf(() => resolveMaxTokens({}, {}, { contextLength: 100, promptTokens: 100 }));
  expect(error.code).toBe("context_length_exceeded");
  expect(error.details).toEqual({ max: 100, promptTokens: 100 });
  expect(error.message).toMatch(/prompt has 100 tokens.*context of 100 tokens/);
});

function errorOf(act: () => unknown): EngineError {
  try {
    act();
  } catch (error) {
    return error as EngineError;
  }
  throw new Error("nothing was thrown");
}

test("drawn seeds are safe integers and differ", () => {
  const seeds = Array.from({ length: 50 }, randomSeed);
  expect(seeds.every((seed) => Number.isSafeInteger(seed) && seed >= 0)).toBe(true);
  expect(new Set(seeds).size).toBe(50);
});
