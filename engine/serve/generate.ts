// One request on one runner: feed the prompt, then draw and feed until something ends it.
import type { Grammars, Matcher } from "../grammar/matcher.ts";
import type { Runner } from "./runner.ts";
import { createSampler } from "./sampler.ts";
import type { NamedGrammar } from "../grammar/grammar.ts";
import type { GenerateEvent, GenerateRequest, ImageUsage, Usage } from "./types.ts";
import type { Vision } from "./vision.ts";

type Token = Extract<GenerateEvent, { type: "token" }>;

interface Means {
  runner: Runner;
  vision?: Vision | undefined;
  grammars?: Grammars | undefined;
}

/** The events of a request; ends with `finished`, which says `cancelled` when the signal was raised. */
export async function* generate(
  { runner, vision, grammars }: Means,
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
  let begun = performance.now();
  let prefilled = begun;
  const finished = (reason: "stop" | "length" | "cancelled"): GenerateEvent => {
    usage.prefillMs = prefilled - begun;
    usage.decodeMs = performance.now() - prefilled;
    return { type: "finished", reason, usage };
  };
  const stops = new Set(stopTokens);
  const matcher = request.grammar && openGrammar(grammars, request.grammar);
  const draw = drawFrom(runner, request, matcher);
  runner.reset();
  let feed: readonly number[] = prompt;
  while (usage.completionTokens < maxTokens) {
    if (signal.aborted) return yield finished("cancelled");
    if (feed === prompt && request.images.length > 0) {
      usage.images = await feedPictures({ runner, vision }, request, signal);
      begun += usage.images.encodeMs;
    } else await runner.feed(feed, { signal });
    const token = await draw();
    if (usage.completionTokens === 0) prefilled = performance.now();
    usage.completionTokens += 1;
    yield token;
    if (stops.has(token.id) || matcher?.ended) return yield finished("stop");
    feed = [token.id];
  }
  yield finished("length");
}

/** Feeds a prompt with pictures in it; their embeddings may go once they are in the sequence. */
async function feedPictures(
  { runner, vision }: Means,
  { prompt, images }: GenerateRequest,
  signal: AbortSignal,
): Promise<ImageUsage> {
  if (!vision) throw new Error("pictures for a model without a tower");
  const { pictures, usage, release } = await vision.embed(images, signal);
  try {
    await runner.feed(prompt, { signal, pictures });
  } finally {
    release();
  }
  return usage;
}

function openGrammar(grammars: Grammars | undefined, grammar: NamedGrammar): Matcher {
  if (!grammars) throw new Error("a grammar before the vocabulary");
  return grammars.open(grammar);
}

/** Greedy without penalties or a grammar needs four bytes from the device; all else needs the logits. */
function drawFrom(
  runner: Runner,
  { sampling, topLogprobs, prompt }: GenerateRequest,
  matcher: Matcher | undefined,
): () => Promise<Token> {
  const { temperature, repetitionPenalty, presencePenalty, frequencyPenalty, logitBias } = sampling;
  const plain =
    repetitionPenalty === 1 &&
    presencePenalty === 0 &&
    frequencyPenalty === 0 &&
    Object.keys(logitBias).length === 0 &&
    topLogprobs === undefined;
  if (temperature === 0 && plain && !matcher)
    return async () => ({ type: "token", id: await runner.argmax() });
  const sample = createSampler(sampling, prompt, topLogprobs);
  if (!matcher) return async () => ({ type: "token", ...sample(await runner.logits()) });
  return async () => {
    const reading = runner.logits();
    const allowed = allowedBy(matcher, reading); // found while the device computes
    const drawn = sample(await reading, allowed);
    matcher.accept(drawn.id);
    return { type: "token", ...drawn };
  };
}

/** Where the grammar fails, the reading that is under way is nobody's any more. */
function allowedBy(matcher: Matcher, reading: Promise<unknown>): Uint32Array {
  try {
    return matcher.allowed();
  } catch (error) {
    reading.catch(() => undefined);
    throw error;
  }
}
