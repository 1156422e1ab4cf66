// A conversation which the server holds between turns (`thread` in Messages): what is kept of it under the id of each
// answer, and the whole request again when a client goes on from there with nothing but its new messages.

import type { CountBody, Message } from "./messages-body.ts";

export interface Thread {
  system: CountBody["system"];
  tools: CountBody["tools"];
  messages: Message[];
  /** By which the conversation finds its neuron again. */
  affinity: string;
}

/** The answer from which a request goes on; undefined where it begins. */
export function previousMessage({ thread }: CountBody): string | undefined {
  return thread?.type === "continue" ? thread.previous_message_id : undefined;
}

/** System prompt and tools are those of the beginning, unless the turn brings others. */
export function continued<B extends CountBody>(body: B, { system, tools, messages }: Thread): B {
  return {
    ...body,
    system: body.system ?? system,
    tools: body.tools ?? tools,
    messages: [...messages, ...body.messages],
  };
}

/** `body` with all that came before it; `answer` is the message that goes out. */
export function toThread(body: CountBody, answer: object, affinity: string): Thread {
  const { content } = answer as { content: Message["content"] };
  const { system, tools, messages } = body;
  return { system, tools, messages: [...messages, { role: "assistant", content }], affinity };
}
