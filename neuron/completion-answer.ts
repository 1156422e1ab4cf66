// Events as OpenAI's text completion, in chunks or whole.

import type { TextEvent, TokenLogprob } from "../engine/serve/types.ts";
import { stopReason } from "./chat-answer.ts";
import { summed } from "./choices.ts";
import { promptUsage, wireTimings, wireUsage } from "./openai-answer.ts";
import type { Encoder, Frame, Gathered, Head } from "./openai-answer.ts";

/** `echo` is the prompt, where the caller wants it before the answer. */
export function completionEncoder(head: Head, echo: string, index = 0): Encoder {
  let offset = length(echo);
  const chunk = (choices: Frame[], more: Frame = {}): Frame => ({
    id: head.id,
    object: "text_completion",
    created: head.created,
    model: head.model,
    choices,
    ...(head.includeUsage ? { usage: null } : {}),
    ...more,
  });
  const piece = (text: string, tokens: readonly TokenLogprob[] = []): Frame => {
    const logprobs = head.logprobs && tokens.length > 0 ? completionLogprobs(tokens, offset) : null;
    offset += tokens.reduce((sum, token) => sum + length(token.text), 0);
    return chunk([{ index, text, logprobs, finish_reason: null }]);
  };

  function event(e: TextEvent): Frame[] {
    switch (e.type) {
      case "reasoning":
      case "content":
        return e.text === "" && !(head.logprobs && e.logprobs.length > 0) ? [] : [piece(e.text, e.logprobs)];
      case "finished": {
        const choice = { index, text: "", logprobs: null, finish_reason: e.reason, ...stopReason(e) };
        return [chunk([choice], { timings: wireTimings(e.usage) })];
      }
      case "started":
        return head.promptUsage ? [{ ...piece(""), usage: promptUsage(e.promptTokens) }] : [];
      case "tool_call":
      case "tool_arguments":
        return [];
    }
    return e satisfies never;
  }

  return {
    open: () => (echo === "" ? [] : [piece(echo)]),
    event,
    end: (usage) => (head.includeUsage ? [chunk([], { usage: wireUsage(usage) })] : []),
    keepalive: () => piece(""),
  };
}

export function completionAnswer(head: Head, echo: string, answers: readonly Gathered[]): Frame {
  const usage = summed(answers.map((answer) => answer.usage));
  const choices = answers.map((answer, index) => {
    const logprobs = head.logprobs ? completionLogprobs(answer.logprobs, length(echo)) : null;
    const text = echo + answer.reasoning + answer.content;
    return { index, text, logprobs, finish_reason: answer.reason, ...stopReason(answer) };
  });
  return {
    id: head.id,
    object: "text_completion",
    created: head.created,
    model: head.model,
    choices,
    usage: wireUsage(usage),
    timings: wireTimings(usage),
  };
}

/** `offset`: characters of the text before the first of `tokens`. */
function completionLogprobs(tokens: readonly TokenLogprob[], offset: number): Frame {
  const offsets: number[] = [];
  for (const token of tokens) {
    offsets.push(offset);
    offset += length(token.text);
  }
  return {
    tokens: tokens.map(name),
    token_logprobs: tokens.map((token) => token.logprob),
    top_logprobs: tokens.map((token) => Object.fromEntries(token.top.map((t) => [name(t), t.logprob]))),
    text_offset: offsets,
  };
}

/** The token's text or, for a fragment of a character, its bytes: two fragments would else share one key. */
function name({ text, bytes }: { text: string; bytes: readonly number[] }): string {
  if (!text.includes("\ufffd")) return text;
  return `bytes:${bytes.map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("")}`;
}

/** In characters, as Python counts them. */
function length(text: string): number {
  return [...text].length;
}
