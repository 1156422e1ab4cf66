// Parameters that OpenAI or other servers have and we do not: refused by name, never ignored. Each row says which
// values ask for nothing and may therefore pass; null and absence always may.

import { EngineError } from "../engine/errors.ts";
import type { ChatBody, CompletionBody } from "./openai-body.ts";

type Harmless = (value: unknown) => boolean;

const never: Harmless = () => false;
const only =
  (...values: unknown[]): Harmless =>
  (value) =>
    values.includes(value);
const empty: Harmless = (value) => Array.isArray(value) && value.length === 0;

const common: Record<string, Harmless> = {
  service_tier: only("auto", "default"),
  // Extensions of llama.cpp and vLLM whose absence would change the text without a word.
  grammar: never,
  json_schema: never,
  guided_json: never,
  guided_regex: never,
  guided_choice: never,
  guided_grammar: never,
  structured_outputs: never,
  stop_token_ids: empty,
  ignore_eos: only(false),
  min_tokens: only(0),
  use_beam_search: only(false),
  length_penalty: only(1),
  prompt_logprobs: never,
  typical_p: only(1),
  mirostat: only(0),
  logits_processors: empty,
};

const chat: Record<string, Harmless> = {
  ...common,
  tool_choice: (value) => typeof value === "string" || (value as { type: string }).type === "function",
  store: only(false),
  functions: empty,
  function_call: only("auto", "none"),
  audio: never,
  modalities: (value) => Array.isArray(value) && value.every((modality) => modality === "text"),
  prediction: never,
  verbosity: only("medium"),
  web_search_options: never,
};

const completion: Record<string, Harmless> = {
  ...common,
  best_of: only(1),
  suffix: only(""),
  response_format: (value) => (value as { type?: unknown }).type === "text",
};

export function refuseChat(body: ChatBody): void {
  refuse(body, chat);
  body.tools?.forEach((tool, i) => {
    if (tool.type !== "function") throw refusal(`tools.${i}.type`, tool.type);
  });
  body.messages.forEach((message, i) => {
    message.tool_calls?.forEach((call, k) => {
      const type = call.type ?? "function";
      if (type !== "function") throw refusal(`messages.${i}.tool_calls.${k}.type`, type);
    });
    if (!Array.isArray(message.content)) return;
    message.content.forEach((part, k) => {
      if (!["text", "refusal", "image_url"].includes(part.type)) {
        throw refusal(`messages.${i}.content.${k}.type`, part.type);
      }
    });
  });
}

export function refuseCompletion(body: CompletionBody): void {
  refuse(body, completion);
  if (Array.isArray(body.prompt) && body.prompt.length > 1 && typeof body.prompt[0] !== "number") {
    throw new EngineError(
      "unsupported_parameter",
      `prompt: ${body.prompt.length} prompts in one request are not supported; send one request each`,
      { param: "prompt" },
    );
  }
  if (!body.echo) return;
  if (typeof body.logprobs === "number") throw refusal("echo", "true together with logprobs");
  if (Array.isArray(body.prompt) && typeof body.prompt[0] !== "string") {
    throw refusal("echo", "true for a prompt of token ids");
  }
}

function refuse(body: Record<string, unknown>, table: Record<string, Harmless>): void {
  for (const [name, harmless] of Object.entries(table)) {
    const value = body[name];
    if (value !== undefined && value !== null && !harmless(value)) throw refusal(name, value);
  }
}

export function refusal(param: string, value: unknown): EngineError {
  const shown = typeof value === "string" ? value : JSON.stringify(value);
  const short = shown.length > 80 ? `${shown.slice(0, 80)}…` : shown;
  return new EngineError("unsupported_parameter", `${param}: ${short} is not supported`, { param });
}
