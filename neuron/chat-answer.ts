// Events as OpenAI's chat completion, in chunks or whole.

import type { TextEvent, TokenLogprob } from "../engine/serve/types.ts";
import { promptUsage, wireTimings, wireUsage } from "./openai-answer.ts";
import type { Encoder, Frame, Gathered, Head } from "./openai-answer.ts";

/** role chunk → reasoning_content, content and tool_calls deltas → finish_reason → usage, where asked for. */
export function chatEncoder(head: Head): Encoder {
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
        index: 0,
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
        const choice = { index: 0, delta: {}, logprobs: null, finish_reason: e.reason, ...stopReason(e) };
        const last = chunk([choice], { timings: wireTimings(e.usage) });
        return head.includeUsage ? [last, chunk([], { usage: wireUsage(e.usage) })] : [last];
      }
    }
    return e satisfies never;
  }

  return {
    open: () => [delta({ role: "assistant", content: "" })],
    event,
    keepalive: () => delta({ content: "" }),
  };
}

export function chatAnswer(head: Head, answer: Gathered): Frame {
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
  const choice = { index: 0, message, logprobs, finish_reason: answer.reason, ...stopReason(answer) };
  return {
    id: head.id,
    object: "chat.completion",
    created: head.created,
    model: head.model,
    choices: [choice],
    usage: wireUsage(answer.usage),
    timings: wireTimings(answer.usage),
  };
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
