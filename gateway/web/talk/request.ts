// From what is shown to the body of POST /v1/chat/completions. Pure.

import type { AssistantMessage, Message, Settings } from "../keep/conversation.ts";

export interface ChatBody extends Record<string, unknown> {
  model: string;
  stream: true;
  stream_options: { include_usage: true };
  messages: Record<string, unknown>[];
}

/** `pictures` gives data URLs by id; a picture that is not there any more is left out. Throws on malformed tools. */
export function toBody(
  messages: readonly Message[],
  settings: Settings,
  model: string,
  pictures: ReadonlyMap<string, string>,
): ChatBody {
  const { system, temperature, top_p, max_tokens, thinking } = settings;
  const tools = parseTools(settings.tools);
  return {
    ...{ model, stream: true, stream_options: { include_usage: true } },
    messages: [
      ...(system?.trim() ? [{ role: "system", content: system }] : []),
      ...messages.flatMap((message) => toMessage(message, pictures)),
    ],
    ...(temperature !== undefined && { temperature }),
    ...(top_p !== undefined && { top_p }),
    ...(max_tokens !== undefined && { max_tokens }),
    ...(thinking !== undefined && { chat_template_kwargs: { enable_thinking: thinking } }),
    ...(tools.length > 0 && { tools }),
  };
}

/** Tools as the user typed them; throws an Error that says what is wrong. */
export function parseTools(text: string | undefined): object[] {
  if (!text?.trim()) return [];
  let tools: unknown;
  try {
    tools = JSON.parse(text);
  } catch (error) {
    throw new Error(`The tools are not valid JSON: ${(error as Error).message}`, { cause: error });
  }
  const isTool = (tool: { function?: { name?: unknown } } | null) => typeof tool?.function?.name === "string";
  if (!Array.isArray(tools) || !tools.every(isTool))
    throw new Error('The tools must be a list: [{"type": "function", "function": {"name": …}}]');
  return tools as object[];
}

function toMessage(message: Message, pictures: ReadonlyMap<string, string>): Record<string, unknown>[] {
  if (message.role === "assistant") return fromAssistant(message);
  if (message.role === "tool") return [{ role: "tool", tool_call_id: message.callId, content: message.text }];
  const images = message.images.flatMap((id) => {
    const url = pictures.get(id);
    return url === undefined ? [] : [{ type: "image_url", image_url: { url } }];
  });
  if (images.length === 0) return [{ role: "user", content: message.text }];
  const text = message.text === "" ? [] : [{ type: "text", text: message.text }];
  return [{ role: "user", content: [...images, ...text] }];
}

/** An answer that failed before its first word said nothing. */
function fromAssistant({ content, reasoning, calls }: AssistantMessage): Record<string, unknown>[] {
  if (content === "" && reasoning === "" && calls.length === 0) return [];
  const tool_calls = calls.map(({ id, name, arguments: args }) => ({
    ...{ id, type: "function" },
    function: { name, arguments: args },
  }));
  return [
    {
      ...{ role: "assistant", content: content === "" && calls.length > 0 ? null : content },
      ...(reasoning !== "" && { reasoning_content: reasoning }),
      ...(calls.length > 0 && { tool_calls }),
    },
  ];
}
