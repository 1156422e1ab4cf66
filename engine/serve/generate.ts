// One request on one runner: feed the prompt, then draw and feed until something ends it.
import type { Runner } from "./runner.ts";
import { createSampler } from "./sampler.ts";
import type { GenerateEvent, GenerateRequest, Usage } from "./types.ts";

type Token = Extract<GenerateEvent, { type: "token" }>;

/** The events of a request; ends with `finished`, which says `cancelled` when the signal was raised. */
export async function* generate(
  runner: Runner,
  request: GenerateRequest,
  signal: AbortSignal,
): AsyncGenerator<GenerateEvent> {
  const { prompt, maxTokens, stopTokens } = request;
  yield { type: "started", promptTokens: prompt.length };
  const usage: Usage = {
    promptTokens: prompt.length,
    completionTokens: 0,
    reasoningTokens: 0,
    cachedTokens: 0,
    prefillMs: 0,
    decodeMs: 0,
  };
  const begun = performance.now();
  let prefilled = begun;
  const finished = (reason: "stop" | "length" | "cancelled"): GenerateEvent => {
    usage.prefillMs = prefilled - begun;
    usage.decodeMs = performance.now() - prefilled;
    return { type: "finished", reason, usage };
  };
  const stops = new Set(stopTokens);
  const draw = drawFrom(runner, request);
  runner.reset();
  let feed: readonly number[] = prompt;
  while (usage.completionTokens < maxTokens) {
    if (signal.aborted) return yield finished("cancelled");
    await runner.feed(feed, signal);
    const token = await draw();
    if (usage.completionTokens === 0) prefilled = performance.now();
    usage.completionTokens += 1;
    yield token;
    if (stops.has(token.id)) return yield finished("stop");
    feed = [token.id];
  }
  yield finished("length");
}

/** Greedy without penalties needs four bytes from the device; all else needs the logits. */
function drawFrom(runner: Runner, { sampling, topLogprobs, prompt }: GenerateRequest): () => Promise<Token> {
  const { temperature, repetitionPenalty, presencePenalty, frequencyPenalty, logitBias } = sampling;
  const plain =
    repetitionPenalty === 1 &&
    presencePenalty === 0 &&
    frequencyPenalty === 0 &&
    Object.keys(logitBias).length === 0 &&
    topLogprobs === undefined;
  if (temperature === 0 && plain) return async () => ({ type: "token", id: await runner.argmax() });
  const sample = createSampler(sampling, prompt, topLogprobs);
  return async () => ({ type: "token", ...sample(await runner.logits()) });
}
