// What both OpenAI endpoints share: an answer's head, its usage, and the events of a whole answer gathered.

import type { FinishReason, TextEvent, TokenLogprob, Usage } from "../engine/serve/types.ts";
import type { ChoiceEvent } from "./choices.ts";
import type { Timings, Usage as WireUsage } from "./protocol.ts";

/** One answer's name and wishes. */
export interface Head {
  id: string;
  /** Unix seconds. */
  created: number;
  model: string;
  includeUsage: boolean;
  /** The prompt's length is told at the start. */
  promptUsage: boolean;
  logprobs: boolean;
}

export type Frame = Record<string, unknown>;

/** Turns one choice's events into chunks; one encoder a choice. */
export interface Encoder {
  /** The first chunk, before any event. */
  open(): Frame[];
  event(event: TextEvent): Frame[];
  /** Behind all choices. */
  end(usage: Usage): Frame[];
  /** A chunk that says nothing, for while nothing flows. */
  keepalive(): Frame;
}

export function wireUsage(usage: Usage): WireUsage {
  return {
    prompt_tokens: usage.promptTokens,
    completion_tokens: usage.completionTokens,
    total_tokens: usage.promptTokens + usage.completionTokens,
    prompt_tokens_details: {
      cached_tokens: usage.cachedTokens,
      ...(usage.images ? { image_tokens: usage.images.tokens } : {}),
    },
    completion_tokens_details: { reasoning_tokens: usage.reasoningTokens },
  };
}

/** Before anything was generated. */
export function promptUsage(promptTokens: number): WireUsage {
  return { prompt_tokens: promptTokens, completion_tokens: 0, total_tokens: promptTokens };
}

export function wireTimings(usage: Usage): Timings {
  const { prefillMs, decodeMs, images } = usage;
  const encoding = images && {
    images: images.count,
    images_cached: images.cached,
    image_encode_ms: images.encodeMs,
  };
  return { prefill_ms: prefillMs, decode_ms: decodeMs, ...encoding };
}

/** A whole answer. */
export interface Gathered {
  reasoning: string;
  content: string;
  logprobs: TokenLogprob[];
  toolCalls: { id: string; name: string; arguments: string }[];
  reason: FinishReason;
  stopSequence: string | undefined;
  usage: Usage;
}

/** The answers of all choices. */
export async function gather(events: AsyncIterable<ChoiceEvent>, choices: number): Promise<Gathered[]> {
  const gatherers = Array.from({ length: choices }, () => createGatherer());
  const answers: Gathered[] = [];
  for await (const { choice, event } of events) {
    const whole = gatherers[choice]!(event);
    if (whole) answers[choice] = whole;
  }
  if (Object.keys(answers).length === choices) return answers;
  throw new Error("the engine ended an answer without a finished event");
}

/** Takes events; gives the answer at the last one. */
function createGatherer(): (event: TextEvent) => Gathered | undefined {
  let [reasoning, content] = ["", ""];
  const logprobs: TokenLogprob[] = [];
  const toolCalls: Gathered["toolCalls"] = [];
  return (event) => {
    if (event.type === "reasoning") reasoning += event.text;
    else if (event.type === "content") {
      content += event.text;
      logprobs.push(...event.logprobs);
    } else if (event.type === "tool_call") {
      toolCalls[event.index] = { id: event.id, name: event.name, arguments: "" };
    } else if (event.type === "tool_arguments") {
      toolCalls[event.index]!.arguments += event.json;
    } else if (event.type === "finished") {
      const { reason, stopSequence, usage } = event;
      return { reasoning, content, logprobs, toolCalls, reason, stopSequence, usage };
    }
    return undefined;
  };
}
