// The canonical request as a chat completion, which is what a neuron, or any OpenAI-compatible server, is asked.

import type { Canonical, Format, Item, Part, Tool } from "./canonical.ts";

export type ChatMessage = Record<string, unknown> & { role: string };

/** The body of POST /v1/chat/completions: always a stream, with the prompt's length first and the usage last. */
export function chatBody(request: Canonical, model: string): Record<string, unknown> {
  const { options, tools, choice, thinking } = request;
  return given({
    model,
    messages: chatMessages(request.items),
    stream: true,
    stream_options: { include_usage: true, prompt_usage: true },
    max_tokens: options.maxTokens,
    temperature: options.temperature,
    top_p: options.topP,
    top_k: options.topK,
    presence_penalty: options.presencePenalty,
    frequency_penalty: options.frequencyPenalty,
    stop: options.stop?.length ? options.stop : undefined,
    ...(tools.length > 0 && {
      tools: tools.map(chatTool),
      tool_choice:
        typeof choice === "string" ? choice : { type: "function", function: { name: choice.name } },
      parallel_tool_calls: request.parallelCalls ? undefined : false,
    }),
    response_format: request.format && chatFormat(request.format),
    reasoning_effort: request.effort,
    verbosity: request.verbosity,
    chat_template_kwargs: thinking === undefined ? undefined : { enable_thinking: thinking },
    ...(request.continues && { continue_final_message: true, add_generation_prompt: false }),
  });
}

/** What a neuron needs to count the tokens of the same prompt. */
export function countBody(request: Canonical, model: string): Record<string, unknown> {
  const body = chatBody(request, model);
  const { messages, tools, reasoning_effort, chat_template_kwargs } = body;
  const { continue_final_message, add_generation_prompt } = body;
  return given({
    ...{ model, messages, tools, reasoning_effort, chat_template_kwargs },
    ...{ continue_final_message, add_generation_prompt },
    tool_choice: body.tool_choice === "none" ? "none" : undefined,
  });
}

/**
 * Each message of the list is one message of the chat. Thoughts, text and calls of one turn become one assistant
 * message. Results come right behind their calls, as templates want them, and what the user said among them after
 * them; pictures in results, which a tool message cannot hold, follow as the user's.
 */
export function chatMessages(items: readonly Item[]): ChatMessage[] {
  return runs(items).flatMap((run) => (isAnswer(run[0]!) ? assistantMessages(run) : otherMessages(run)));
}

function isAnswer(item: Item): boolean {
  return (
    item.type === "reasoning" ||
    item.type === "call" ||
    (item.type === "message" && item.role === "assistant")
  );
}

/** Cut where the model's own items and the others take turns. */
function runs(items: readonly Item[]): Item[][] {
  const result: Item[][] = [];
  for (const item of items) {
    const last = result.at(-1);
    if (last && isAnswer(last[0]!) === isAnswer(item)) last.push(item);
    else result.push([item]);
  }
  return result;
}

interface Turn {
  thoughts: string[];
  parts: Part[];
  said: boolean;
  calls: Extract<Item, { type: "call" }>[];
}

function assistantMessages(run: readonly Item[]): ChatMessage[] {
  const turns: Turn[] = [];
  for (const item of run) {
    const open = turns.at(-1);
    // Until its calls are answered a turn goes on, whatever comes; without calls, one message is one turn.
    const ended = open === undefined || (open.said && open.calls.length === 0 && item.type !== "call");
    const turn: Turn = ended ? { thoughts: [], parts: [], said: false, calls: [] } : open;
    if (ended) turns.push(turn);
    if (item.type === "reasoning") turn.thoughts.push(item.text);
    else if (item.type === "call") turn.calls.push(item);
    else if (item.type === "message") {
      turn.parts.push(...item.parts);
      turn.said = true;
    }
  }
  return turns.map(assistantMessage);
}

function assistantMessage({ thoughts, parts, calls }: Turn): ChatMessage {
  return {
    role: "assistant",
    content: parts.length === 0 && calls.length > 0 ? null : content(parts, ""),
    ...(thoughts.length > 0 && { reasoning_content: thoughts.join("\n\n") }),
    ...(calls.length > 0 && {
      tool_calls: calls.map(({ id, name, arguments: args }) => ({
        ...{ id, type: "function", function: { name, arguments: args } },
      })),
    }),
  };
}

function otherMessages(run: readonly Item[]): ChatMessage[] {
  const results = run.filter((item) => item.type === "result");
  const pictures = results.flatMap(({ parts }) => parts.filter(({ type }) => type === "image"));
  return [
    ...results.map((result) => ({ role: "tool", tool_call_id: result.id, content: resultText(result) })),
    ...(pictures.length > 0 ? [{ role: "user", content: content(pictures, "\n") }] : []),
    ...run.filter((item) => item.type === "message").map(spoken),
  ];
}

/** A chat has no field for it, and the model must know that its call failed. */
function resultText({ parts, failed }: Extract<Item, { type: "result" }>): string {
  const text = parts.flatMap((part) => (part.type === "text" ? [part.text] : [])).join("\n");
  return failed ? `Error: ${text}` : text;
}

function spoken({ role, parts }: Extract<Item, { type: "message" }>): ChatMessage {
  return { role, content: content(parts, role === "user" ? "\n" : "\n\n") };
}

/** Text alone is a string, for servers and templates that know nothing else. */
function content(parts: readonly Part[], between: string): string | object[] {
  if (parts.every((part) => part.type === "text")) return parts.map((part) => part.text).join(between);
  return parts.map((part) =>
    part.type === "text"
      ? part
      : { type: "image_url", image_url: given({ url: part.url, detail: part.detail }) },
  );
}

function chatTool({ name, description, parameters, strict }: Tool): object {
  return { type: "function", function: given({ name, description, parameters, strict }) };
}

function chatFormat(format: Format): object {
  if (format.type === "json_object") return { type: "json_object" };
  const { name, schema, description, strict } = format;
  return { type: "json_schema", json_schema: given({ name, description, schema, strict }) };
}

function given(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}
