// Events as OpenAI's chat completion, in chunks or whole.

import type { TextEvent, TokenLogprob } from "../engine/serve/types.ts";
import { summed } from "./choices.ts";
import { promptUsage, wireTimings, wireUsage } from "./openai-answer.ts";
import type { Encoder, Frame, Gathered, Head } from "./openai-answer.ts";

/** role chunk → reasoning_content, content and tool_calls deltas → finish_reason → usage, where asked for. */
export function chatEncoder(head: Head, index = 0): Encoder {
  const chunk = (choices: Frame[], more: Frame = {}): Frame => ({
    id: head.id,
    object: "chat.completion.chunk",
    created: head.created,
    model: head.model,
    choices,
    ...(head.includeUsage ? { usage: null } : {}),
    ...more,
  });
  const delta = (fields: Frame, logprobs: TokenLogprob[] = []): Frame =>
    chunk([
      {
        index,
        delta: fields,
        logprobs: head.logprobs && logprobs.length > 0 ? chatLogprobs(logprobs) : null,
        finish_reason: null,
      },
    ]);

  function event(e: TextEvent): Frame[] {
    switch (e.type) {
      case "started":
        return head.promptUsage ? [{ ...delta({ content: "" }), usage: promptUsage(e.promptTokens) }] : [];
      case "reasoning":
        return e.text === "" ? [] : [delta({ reasoning_content: e.text })];
      case "content":
        if (e.text === "" && !(head.logprobs && e.logprobs.length > 0)) return [];
        return [delta({ content: e.text }, e.logprobs)];
      case "tool_call": {
        const call = { name: e.name, arguments: "" };
        return [delta({ tool_calls: [{ index: e.index, id: e.id, type: "function", function: call }] })];
      }
      case "tool_arguments":
        return [delta({ tool_calls: [{ index: e.index, function: { arguments: e.json } }] })];
      case "finished": {
        const choice = { index, delta: {}, logprobs: null, finish_reason: e.reason, ...stopReason(e) };
        return [chunk([choice], { timings: wireTimings(e.usage) })];
      }
    }
    return e satisfies never;
  }

  return {
    open: () => [delta({ role: "assistant", content: "" })],
    event,
    end: (usage) => (head.includeUsage ? [chunk([], { usage: wireUsage(usage) })] : []),
    keepalive: () => delta({ content: "" }),
  };
}

export function chatAnswer(head: Head, answers: readonly Gathered[]): Frame {
  const usage = summed(answers.map((answer) => answer.usage));
  return {
    id: head.id,
    object: "chat.completion",
    created: head.created,
    model: head.model,
    choices: answers.map((answer, index) => chatChoice(head, answer, index)),
    usage: wireUsage(usage),
    timings: wireTimings(usage),
  };
}

function chatChoice(head: Head, answer: Gathered, index: number): Frame {
  const calls = answer.toolCalls.map(({ id, name, arguments: args }) => ({
    id,
    type: "function",
    function: { name, arguments: args },
  }));
  const message = {
    role: "assistant",
    content: answer.content === "" && calls.length > 0 ? null : answer.content,
    refusal: null,
    ...(answer.reasoning === "" ? {} : { reasoning_content: answer.reasoning }),
    ...(calls.length > 0 ? { tool_calls: calls } : {}),
  };
  const logprobs = head.logprobs ? chatLogprobs(answer.logprobs) : null;
  return { index, message, logprobs, finish_reason: answer.reason, ...stopReason(answer) };
}

/** Our extension: which stop string ended the answer. */
export function stopReason({ stopSequence }: { stopSequence: string | undefined }): Frame {
  return stopSequence === undefined ? {} : { stop_reason: stopSequence };
}

function chatLogprobs(tokens: readonly TokenLogprob[]): Frame {
  const entry = ({ text, bytes, logprob }: Omit<TokenLogprob, "id" | "top">) => ({
    token: text,
    logprob,
    bytes,
  });
  return {
    content: tokens.map((token) => ({ ...entry(token), top_logprobs: token.top.map(entry) })),
    refusal: null,
  };
}
