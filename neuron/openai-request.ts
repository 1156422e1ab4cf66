// From OpenAI's bodies to what the engine reads.

import { EngineError } from "../engine/errors.ts";
import type {
  ChatMessage,
  ChatRequest,
  CompletionRequest,
  ContentPart,
  GenerationOptions,
  ModelInfo,
  Tool,
  ToolChoice,
} from "../engine/serve/types.ts";
import { refuseChat, refuseCompletion } from "./refusals.ts";
import type { ChatBody, CompletionBody, Message, Part, ToolEntry } from "./openai-body.ts";

export function toChat(body: ChatBody, info: ModelInfo): ChatRequest {
  refuseChat(body);
  if (typeof body.top_logprobs === "number" && !body.logprobs) {
    throw new EngineError("bad_request", "top_logprobs: needs logprobs: true", { param: "top_logprobs" });
  }
  const logprobs = body.logprobs ? (body.top_logprobs ?? 0) : undefined;
  const maxTokens = body.max_completion_tokens ?? body.max_tokens;
  const templateArguments = toTemplateArguments(body);
  return {
    messages: mergeLeadingSystem(body.messages.map((message, i) => toMessage(message, i, info))),
    ...toTools(body),
    ...toFormat(body.response_format),
    ...toEnding(body),
    ...(Object.keys(templateArguments).length > 0 ? { templateArguments } : {}),
    options: toOptions(body, maxTokens, logprobs, info),
  };
}

function toTools(body: ChatBody): Pick<ChatRequest, "tools" | "toolChoice" | "parallelToolCalls"> {
  const { tool_choice: chosen, parallel_tool_calls: parallel } = body;
  if (!body.tools?.length) {
    if (!chosen || chosen === "auto" || chosen === "none") return {};
    throw new EngineError("bad_request", "tool_choice: there are no tools to choose", {
      param: "tool_choice",
    });
  }
  if (chosen === "none") return {};
  return {
    tools: body.tools.map(toTool),
    ...given({ toolChoice: toToolChoice(chosen) }),
    ...(parallel === false ? { parallelToolCalls: false } : {}),
  };
}

function toToolChoice(chosen: ChatBody["tool_choice"]): ToolChoice | undefined {
  if (chosen === "auto" || chosen === "required") return chosen;
  return typeof chosen === "object" && chosen?.type === "function"
    ? { name: chosen.function.name }
    : undefined;
}

function toFormat(format: ChatBody["response_format"]): Pick<ChatRequest, "format"> {
  if (format?.type === "json_object") return { format: { type: "json_object" } };
  if (format?.type !== "json_schema") return {};
  const { schema, strict } = format.json_schema;
  return { format: { type: "json_schema", schema, strict: strict ?? false } };
}

/** How the prompt ends. A grammar knows answers from their first word on, so it cannot hold the rest of one. */
function toEnding(body: ChatBody): Pick<ChatRequest, "continueFinal" | "addGenerationPrompt"> {
  const { continue_final_message: continues, add_generation_prompt: prompts } = body;
  if (!continues) return prompts === false ? { addGenerationPrompt: false } : {};
  const refuse = (param: string, why: string) => {
    throw new EngineError("bad_request", `${param}: ${why} continue_final_message`, { param });
  };
  if (prompts) refuse("add_generation_prompt", "cannot be true together with");
  const { response_format: format, tool_choice: choice } = body;
  if (format && format.type !== "text") refuse("response_format", "cannot be held together with");
  if (choice && choice !== "auto" && choice !== "none") refuse("tool_choice", "cannot be held together with");
  return { continueFinal: true };
}

export function toCompletion(body: CompletionBody, info: ModelInfo): CompletionRequest {
  refuseCompletion(body);
  const options = toOptions(body, body.max_tokens, body.logprobs ?? undefined, info);
  return { prompt: onePrompt(body), options };
}

/** The text that `echo` puts before the answer. */
export function echoed(body: CompletionBody): string {
  const prompt = onePrompt(body);
  return body.echo && typeof prompt === "string" ? prompt : "";
}

function onePrompt({ prompt }: CompletionBody): string | number[] {
  if (typeof prompt === "string") return prompt;
  if (typeof prompt[0] === "number" || prompt.length === 0) return prompt as number[];
  return prompt[0]!;
}

/** Requests for several answers so far. */
let families = 0;

function toOptions(
  body: ChatBody | CompletionBody,
  maxTokens: number | null | undefined,
  topLogprobs: number | undefined,
  info: ModelInfo,
): GenerationOptions {
  return given({
    temperature: body.temperature,
    topK: body.top_k === -1 ? 0 : body.top_k,
    topP: body.top_p,
    minP: body.min_p,
    seed: body.seed,
    repetitionPenalty: body.repetition_penalty,
    presencePenalty: body.presence_penalty,
    frequencyPenalty: body.frequency_penalty,
    logitBias: toLogitBias(body.logit_bias, info.vocabSize),
    maxTokens,
    stop: typeof body.stop === "string" ? [body.stop] : body.stop,
    topLogprobs,
    family: (body.n ?? 1) > 1 ? (families += 1) : undefined,
  });
}

function toLogitBias(bias: Record<string, number> | null | undefined, vocabSize: number) {
  if (!bias) return undefined;
  for (const id of Object.keys(bias)) {
    if (Number(id) >= vocabSize) {
      const param = `logit_bias.${id}`;
      throw new EngineError("bad_request", `${param}: the vocabulary ends at token ${vocabSize - 1}`, {
        param,
      });
    }
  }
  return Object.fromEntries(Object.entries(bias).map(([id, value]) => [Number(id), value]));
}

/**
 * What the chat template sees beside the messages; chat_template_kwargs has the last word. Who asks for an effort asks for
 * thoughts: most templates know only whether there are to be any, and some leave them out by default.
 */
function toTemplateArguments(body: ChatBody): Record<string, unknown> {
  const effort = body.reasoning_effort;
  return {
    ...(effort ? { reasoning_effort: effort, enable_thinking: effort !== "none" } : {}),
    ...(typeof body.enable_thinking === "boolean" ? { enable_thinking: body.enable_thinking } : {}),
    ...body.chat_template_kwargs,
  };
}

function toMessage(message: Message, index: number, info: ModelInfo): ChatMessage {
  const content = toContent(message.content, index, info);
  return {
    // The templates know only "system"; "developer" is OpenAI's newer word for it.
    role: message.role === "developer" ? "system" : message.role,
    content: content ?? (message.role === "assistant" ? null : ""),
    ...given({
      reasoning_content: message.reasoning_content,
      name: message.name,
      tool_call_id: message.tool_call_id,
    }),
    ...(message.tool_calls?.length
      ? {
          tool_calls: message.tool_calls.map(({ id, function: { name, arguments: args } }) => ({
            ...given({ id }),
            type: "function" as const,
            function: { name, arguments: args },
          })),
        }
      : {}),
  };
}

/** Parts that are all text become one string: some templates read only strings and would drop the parts in silence. */
function toContent(content: Message["content"], index: number, info: ModelInfo): ChatMessage["content"] {
  if (!Array.isArray(content)) return content ?? null;
  const parts = content.map((part, k) => toPart(part, `messages.${index}.content.${k}`, info));
  if (parts.every((part) => part.type === "text")) return parts.map((part) => part.text).join("");
  return parts;
}

function toPart(part: Part, param: string, info: ModelInfo): ContentPart {
  if (part.type === "text") return { type: "text", text: part.text };
  if (part.type === "refusal") return { type: "text", text: part.refusal };
  if (part.type === "image_url") {
    if (!info.capabilities.includes("vision")) {
      throw new EngineError("vision_unsupported", `${param}: this model reads text only`, { param });
    }
    return { type: "image_url", image_url: { url: part.image_url.url } };
  }
  throw new Error(`a part of type ${part.type} passed the refusals`);
}

/** Templates want one system message, first: Qwen's raise an exception at a second. */
function mergeLeadingSystem(messages: ChatMessage[]): ChatMessage[] {
  const end = messages.findIndex((message) => message.role !== "system");
  const leading = messages.slice(0, end === -1 ? messages.length : end);
  if (leading.length < 2 || leading.some((message) => typeof message.content !== "string")) return messages;
  const content = leading.map((message) => message.content).join("\n\n");
  return [{ role: "system", content }, ...messages.slice(leading.length)];
}

function toTool(tool: ToolEntry, index: number): Tool {
  const param = `tools.${index}.function`;
  if (!tool.function) throw new EngineError("bad_request", `${param}: expected a function`, { param });
  const { name, description, parameters, strict } = tool.function;
  return {
    type: "function",
    function: { name, ...given({ description, parameters }), ...(strict ? { strict } : {}) },
  };
}

/** The fields that were said: neither null nor absent. */
function given<T extends object>(fields: T): { [K in keyof T]?: NonNullable<T[K]> } {
  const said = Object.entries(fields).filter(([, value]) => value !== null && value !== undefined);
  return Object.fromEntries(said) as { [K in keyof T]?: NonNullable<T[K]> };
}
