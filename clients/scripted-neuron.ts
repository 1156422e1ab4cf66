// A neuron whose model is the script of cases.ts: what it answers over the wire, streamed or whole.

import { randomUUID } from "node:crypto";
import type { Json } from "../gateway/dialects/streams.fixture.ts";
import type { Answer } from "../gateway/fixtures/mock-neuron.fixture.ts";
import { json } from "../gateway/fixtures/mock-neuron.fixture.ts";
import {
  args,
  called,
  ending,
  opening,
  said,
  script,
  thought,
} from "../gateway/fixtures/scripted.fixture.ts";
import type { Turn } from "./cases.ts";
import { answerTo } from "./cases.ts";

export const scripted: Answer = (request, response) => {
  if (request.path.endsWith("/input_tokens")) return json(response, 200, { input_tokens: 31 });
  const body = JSON.parse(request.body) as Json;
  const turn = answerTo(body);
  return body.stream ? script(...chunksOf(turn))(request, response) : json(response, 200, wholeOf(turn));
};

/** Texts in two pieces, arguments in two pieces, a call's own pieces together. */
function chunksOf({ thought: thinks = "", text = "", calls }: Turn): string[] {
  return [
    opening,
    ...halves(thinks).map(thought),
    ...halves(text).map(said),
    ...calls.flatMap(({ name, arguments: values }, i) => [
      called(i, newCallId(), name),
      ...halves(JSON.stringify(values)).map((piece) => args(i, piece)),
    ]),
    ending(calls.length > 0 ? "tool_calls" : "stop"),
  ];
}

function halves(text: string): string[] {
  const middle = text.length >> 1;
  return [text.slice(0, middle), text.slice(middle)].filter((piece) => piece !== "");
}

function wholeOf({ thought: thinks, text, calls }: Turn): object {
  const message = {
    ...{ role: "assistant", content: text ?? null, refusal: null },
    ...(thinks !== undefined && { reasoning_content: thinks }),
    ...(calls.length > 0 && {
      tool_calls: calls.map(({ name, arguments: values }) => ({
        ...{ id: newCallId(), type: "function", function: { name, arguments: JSON.stringify(values) } },
      })),
    }),
  };
  const finish_reason = calls.length > 0 ? "tool_calls" : "stop";
  return {
    ...{ id: "chatcmpl-1", object: "chat.completion", created: 1, model: "demo" },
    choices: [{ index: 0, message, logprobs: null, finish_reason }],
    usage: {
      ...{ prompt_tokens: 31, completion_tokens: 17, total_tokens: 48 },
      ...{ prompt_tokens_details: { cached_tokens: 5 }, completion_tokens_details: { reasoning_tokens: 7 } },
    },
  };
}

/** Unique in a conversation, as clients need it. */
function newCallId(): string {
  return `call_${randomUUID().replaceAll("-", "")}`;
}
