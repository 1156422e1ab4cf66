// An answer as it grows, chunk by chunk. Pure.

import type { AssistantMessage, ToolCall, Usage } from "../keep/conversation.ts";

/** What a server says went wrong, or what keeps us from it. */
export class ServerError extends Error {
  readonly code: string | undefined;

  constructor(message: string, code?: string) {
    super(message);
    this.name = "ServerError";
    this.code = code;
  }
}

export function emptyAnswer(model: string): AssistantMessage {
  return { role: "assistant", model, state: "streaming", content: "", reasoning: "", calls: [] };
}

/**
 * The answer with one chunk more, `ms` after its request was sent. Throws the ServerError that a chunk may carry. What
 * a chunk has beside the fields that we know is ignored, as is what has another type than it should.
 */
export function withChunk(answer: AssistantMessage, chunk: unknown, ms: number): AssistantMessage {
  const { choices, usage, timings, error } = fields(chunk);
  if (error !== undefined && error !== null) throw errorOf(error);
  const choice = fields(Array.isArray(choices) ? choices[0] : undefined);
  const delta = fields(choice["delta"]);
  const content = answer.content + text(delta["content"]);
  const reasoning = answer.reasoning + (text(delta["reasoning_content"]) || text(delta["reasoning"]));
  const calls = Array.isArray(delta["tool_calls"])
    ? delta["tool_calls"].reduce(withCall, answer.calls)
    : answer.calls;
  const grown = { ...answer, content, reasoning, calls };
  const finish = text(choice["finish_reason"]) || answer.finish;
  const counted = toUsage(usage) ?? answer.usage;
  return {
    ...grown,
    ...(finish !== undefined && { finish }),
    ...(counted !== undefined && { usage: counted }),
    timings: { ...timesOf(grown, ms), ...toTimings(timings) },
  };
}

/** The ServerError in an OpenAI error object. */
export function errorOf(error: unknown): ServerError {
  const { message, code } = fields(error);
  return new ServerError(
    text(message) || text(error) || "The server reports an error without a word about it.",
    text(code) || undefined,
  );
}

/** ms; a shorter window tells more of the network than of the model. */
const shortestWindow = 100;

/** Tokens a second of the answer, from the server's own clock where it tells, else from ours. */
export function speedOf({ usage, timings }: AssistantMessage): number | undefined {
  const tokens = usage?.completion ?? 0;
  const { decode, firstToken, total } = timings ?? {};
  if (decode !== undefined && decode > 0 && tokens > 0) return (1000 * tokens) / decode;
  if (tokens < 2 || firstToken === undefined || total === undefined) return undefined;
  const window = total - firstToken;
  return window < shortestWindow ? undefined : (1000 * (tokens - 1)) / window;
}

function timesOf({ content, reasoning, calls, timings = {} }: AssistantMessage, ms: number) {
  const spoke = content !== "" || calls.length > 0;
  return {
    ...timings,
    ...(timings.firstToken === undefined && (spoke || reasoning !== "") && { firstToken: ms }),
    ...(timings.thought === undefined &&
      spoke &&
      reasoning !== "" && { thought: ms - (timings.firstToken ?? ms) }),
  };
}

function withCall(calls: ToolCall[], piece: unknown): ToolCall[] {
  const { index, id, function: named } = fields(piece);
  const { name, arguments: args } = fields(named);
  const at = typeof index === "number" && index >= 0 && index <= calls.length ? index : calls.length;
  const call = calls[at] ?? { id: "", name: "", arguments: "" };
  const grown = {
    id: text(id) || call.id,
    name: call.name + text(name),
    arguments: call.arguments + text(args),
  };
  return calls.toSpliced(at, 1, grown);
}

function toUsage(usage: unknown): Usage | undefined {
  const { prompt_tokens, completion_tokens, prompt_tokens_details, completion_tokens_details } =
    fields(usage);
  if (typeof prompt_tokens !== "number" || typeof completion_tokens !== "number") return undefined;
  const cached = fields(prompt_tokens_details)["cached_tokens"];
  const reasoning = fields(completion_tokens_details)["reasoning_tokens"];
  return {
    ...{ prompt: prompt_tokens, completion: completion_tokens },
    ...(typeof cached === "number" && { cached }),
    ...(typeof reasoning === "number" && { reasoning }),
  };
}

function toTimings(timings: unknown) {
  const { prefill_ms, decode_ms } = fields(timings);
  return {
    ...(typeof prefill_ms === "number" && { prefill: prefill_ms }),
    ...(typeof decode_ms === "number" && { decode: decode_ms }),
  };
}

function fields(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}
