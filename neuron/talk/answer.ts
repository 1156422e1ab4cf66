// One answer as it streams: its text, its thoughts, and a line of figures behind it.

import type { ChatChunk } from "../../kit/client.ts";

export interface Answer {
  content: string;
  reasoning: string;
  finishReason: string | undefined;
  usage: { promptTokens: number; completionTokens: number } | undefined;
  /** ms from asking to the first piece, and to the last. */
  firstMs: number | undefined;
  tookMs: number;
}

/** Gets each piece at once. */
export interface Show {
  content(text: string): void;
  thought(text: string): void;
}

/** Reads an answer to its end; what arrived before a failure is in `soFar`. */
export async function readAnswer(
  chunks: AsyncIterable<ChatChunk>,
  show: Show,
  soFar: Answer = emptyAnswer(),
): Promise<Answer> {
  const asked = performance.now();
  for await (const { choices, usage } of chunks) {
    if (usage) soFar.usage = { promptTokens: usage.prompt_tokens, completionTokens: usage.completion_tokens };
    const choice = choices?.[0];
    const { content, reasoning_content: thought } = choice?.delta ?? {};
    soFar.finishReason = choice?.finish_reason ?? soFar.finishReason;
    if (content || thought) soFar.firstMs ??= performance.now() - asked;
    if (thought) {
      soFar.reasoning += thought;
      show.thought(thought);
    }
    if (content) {
      soFar.content += content;
      show.content(content);
    }
    soFar.tookMs = performance.now() - asked;
  }
  return soFar;
}

export function emptyAnswer(): Answer {
  return {
    ...{ content: "", reasoning: "", finishReason: undefined, usage: undefined },
    ...{ firstMs: undefined, tookMs: 0 },
  };
}

/** "21 tokens in, 48 out · 31.2 tokens/s · first after 0.41 s"; tokens/s are those after the first. */
export function figures({ usage, firstMs, tookMs, finishReason }: Answer): string {
  const parts = usage ? [`${usage.promptTokens} tokens in, ${usage.completionTokens} out`] : [];
  const rest = firstMs === undefined ? 0 : tookMs - firstMs;
  if (usage && usage.completionTokens > 1 && rest > 0)
    parts.push(`${(((usage.completionTokens - 1) * 1000) / rest).toFixed(1)} tokens/s`);
  if (firstMs !== undefined) parts.push(`first after ${(firstMs / 1000).toFixed(2)} s`);
  if (finishReason === "length") parts.push("cut at its limit of tokens (/set max_tokens)");
  return parts.join(" · ");
}
