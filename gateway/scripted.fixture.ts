// A neuron's streams, chunk by chunk, as neuron/chat-answer.ts writes them.

import type { Answer } from "./mock-neuron.fixture.ts";
import { openStream } from "./mock-neuron.fixture.ts";

const head = { id: "chatcmpl-1", object: "chat.completion.chunk", created: 1, model: "demo" };

export function chunk(delta: object, more: object = {}): string {
  const choice = { index: 0, delta, logprobs: null, finish_reason: null, ...more };
  return `data: ${JSON.stringify({ ...head, choices: [choice], usage: null })}\n\n`;
}

const prompt = { prompt_tokens: 31, completion_tokens: 0, total_tokens: 31 };
export const opening =
  chunk({ role: "assistant", content: "" }) +
  `data: ${JSON.stringify({ ...head, choices: [{ index: 0, delta: { content: "" } }], usage: prompt })}\n\n`;
export const keepalive = chunk({ content: "" });
export const said = (content: string) => chunk({ content });
export const thought = (text: string) => chunk({ reasoning_content: text });
export const called = (index: number, id: string, name: string) =>
  chunk({ tool_calls: [{ index, id, type: "function", function: { name, arguments: "" } }] });
export const args = (index: number, json: string) =>
  chunk({ tool_calls: [{ index, function: { arguments: json } }] });

export function ending(finish_reason = "stop", more: object = {}): string {
  const usage = {
    ...{ prompt_tokens: 31, completion_tokens: 17, total_tokens: 48 },
    ...{ prompt_tokens_details: { cached_tokens: 5 }, completion_tokens_details: { reasoning_tokens: 7 } },
  };
  const last = `data: ${JSON.stringify({ ...head, choices: [], usage })}\n\n`;
  return `${chunk({}, { finish_reason, ...more })}${last}data: [DONE]\n\n`;
}

/** Streams the given texts, with a pause in ms where a number stands; cuts the connection where "cut" does. */
export function script(...steps: (string | number)[]): Answer {
  return async (_, response) => {
    openStream(response);
    for (const step of steps)
      if (typeof step === "number") await new Promise((resolve) => setTimeout(resolve, step));
      else if (step === "cut") return response.destroy();
      else response.write(step);
    response.end();
  };
}

export const hello = script(opening, said("Hel"), said("lo"), ending());
