// What a request asks for, what the checkpoint recommends, what we assume: resolved into plain settings.
// Names in messages are those of the OpenAI dialect, which is what a caller wrote.

import { EngineError } from "../errors.ts";
import type { GenerationOptions, Sampling } from "./types.ts";

interface Range {
  name: string;
  min: number;
  max: number;
  integer?: boolean;
}

type NumericOption = Exclude<keyof GenerationOptions, "logitBias" | "stop" | "family">;

const LARGEST = Number.MAX_SAFE_INTEGER;

const ranges = {
  temperature: { name: "temperature", min: 0, max: 2 },
  topK: { name: "top_k", min: -1, max: LARGEST, integer: true },
  topP: { name: "top_p", min: 0, max: 1 },
  minP: { name: "min_p", min: 0, max: 1 },
  seed: { name: "seed", min: -LARGEST, max: LARGEST, integer: true },
  repetitionPenalty: { name: "repetition_penalty", min: 0.01, max: 10 },
  presencePenalty: { name: "presence_penalty", min: -2, max: 2 },
  frequencyPenalty: { name: "frequency_penalty", min: -2, max: 2 },
  maxTokens: { name: "max_tokens", min: 1, max: LARGEST, integer: true },
  topLogprobs: { name: "top_logprobs", min: 0, max: 20, integer: true },
} satisfies Record<NumericOption, Range>;

/** A fresh seed for a request that gave none. */
export function randomSeed(): number {
  const [low, high] = globalThis.crypto.getRandomValues(new Uint32Array(2));
  return low! + (high! >>> 12) * 2 ** 32;
}

/** Ours, where neither the request nor the checkpoint says anything: OpenAI's and vLLM's, that is, the model as it is. */
const defaults = { temperature: 1, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1 };

/**
 * Request, then generation_config.json, then our defaults. `do_sample: false` there means greedy unless the request
 * names a temperature. Throws bad_request for a value of the request out of its range, bad_checkpoint for one of
 * generation_config.json (call it with `{}` at load to find that out early).
 */
export function resolveSampling(options: GenerationOptions, generationConfig: unknown): Sampling {
  const config = asRecord(generationConfig);
  checkOptions(options);
  const given = (option: keyof typeof defaults) =>
    options[option] ?? recommended(config, ranges[option]) ?? defaults[option];
  const greedy = config.do_sample === false && options.temperature === undefined;
  return {
    temperature: greedy ? 0 : given("temperature"),
    topK: Math.max(0, given("topK")),
    topP: given("topP"),
    minP: given("minP"),
    seed: options.seed,
    repetitionPenalty: given("repetitionPenalty"),
    presencePenalty: options.presencePenalty ?? 0,
    frequencyPenalty: options.frequencyPenalty ?? 0,
    logitBias: options.logitBias ?? {},
  };
}

/**
 * How many tokens the answer may have: what was asked (or generation_config.json's max_new_tokens), and never more
 * than the context has room for. A larger wish is no error: agents ask for 32,000 whatever the model.
 * Throws context_length_exceeded when the prompt leaves no room for a single token.
 */
export function resolveMaxTokens(
  options: GenerationOptions,
  generationConfig: unknown,
  room: { contextLength: number; promptTokens: number },
): number {
  const { contextLength: max, promptTokens } = room;
  if (options.maxTokens !== undefined) expectRange(ranges.maxTokens, options.maxTokens, "bad_request");
  if (promptTokens >= max)
    throw new EngineError(
      "context_length_exceeded",
      `the prompt has ${promptTokens} tokens, which leaves no room for an answer in a context of ${max} tokens`,
      { max, promptTokens },
    );
  const advised = recommended(asRecord(generationConfig), { ...ranges.maxTokens, name: "max_new_tokens" });
  return Math.min(options.maxTokens ?? advised ?? Infinity, max - promptTokens);
}

function checkOptions(options: GenerationOptions): void {
  for (const [option, range] of Object.entries(ranges)) {
    const value = options[option as NumericOption];
    if (value !== undefined) expectRange(range, value, "bad_request");
  }
  for (const [id, bias] of Object.entries(options.logitBias ?? {})) {
    if (!/^\d+$/.test(id))
      throw new EngineError("bad_request", `logit_bias: ${JSON.stringify(id)} is not a token id`);
    expectRange({ name: `logit_bias.${id}`, min: -100, max: 100 }, bias, "bad_request");
  }
  options.stop?.forEach((stop, i) => {
    if (typeof stop !== "string" || stop === "")
      throw new EngineError(
        "bad_request",
        `stop[${i}]: expected a text that is not empty, got ${JSON.stringify(stop)}`,
      );
  });
}

function recommended(config: Readonly<Record<string, unknown>>, range: Range): number | undefined {
  const value = config[range.name] ?? undefined;
  if (value === undefined) return undefined;
  expectRange({ ...range, name: `generation_config.json: ${range.name}` }, value, "bad_checkpoint");
  return value;
}

function expectRange(
  range: Range,
  value: unknown,
  code: "bad_request" | "bad_checkpoint",
): asserts value is number {
  const { name, min, max, integer } = range;
  const right = integer ? Number.isInteger(value) : Number.isFinite(value);
  if (right && (value as number) >= min && (value as number) <= max) return;
  const kind = integer ? "an integer" : "a number";
  const bounds = max === LARGEST ? (min === -LARGEST ? "" : ` of at least ${min}`) : ` from ${min} to ${max}`;
  const got = typeof value === "number" ? String(value) : JSON.stringify(value);
  throw new EngineError(code, `${name}: expected ${kind}${bounds}, got ${got}`);
}

function asRecord(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}
