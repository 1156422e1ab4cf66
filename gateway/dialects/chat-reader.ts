// The chunks of a streamed chat completion as canonical events. They come from another program, so nothing about their
// shape is taken for granted: what cannot be read as said is skipped, what contradicts itself is a failure.

import { codeOf, count } from "../wire/answer.ts";
import type { Event, Failure, FinishReason, Usage } from "./canonical.ts";

const nothingUsed: Usage = { promptTokens: 0, completionTokens: 0, cachedTokens: 0, reasoningTokens: 0 };

export class ChatReader {
  private readonly newId: (prefix: string) => string;
  private started = false;
  private usage: Usage = nothingUsed;
  private reason: FinishReason | undefined;
  private stopSequence: string | undefined;
  /** The chunks' numbers of the calls so far, in order; the last may still get arguments. */
  private readonly calls: number[] = [];

  constructor(newId: (prefix: string) => string) {
    this.newId = newId;
  }

  /** The events of one chunk, which is parsed JSON. After a failure there is nothing more to ask for. */
  push(chunk: unknown): Event[] {
    if (!isObject(chunk)) return [];
    if (isObject(chunk.error)) return [{ type: "failed", failure: failureOf(chunk.error) }];
    const events: Event[] = [];
    this.readUsage(chunk.usage, events);
    const choice: unknown = Array.isArray(chunk.choices) ? chunk.choices[0] : undefined;
    if (!isObject(choice)) return events;
    if (isObject(choice.delta)) this.readDelta(choice.delta, events);
    if (typeof choice.finish_reason === "string") this.reason = reasonOf(choice.finish_reason);
    if (typeof choice.stop_reason === "string") this.stopSequence = choice.stop_reason;
    return events;
  }

  /** The stream has ended in order: what it came to. */
  end(): Event[] {
    if (this.reason === undefined) return [{ type: "failed", failure: interrupted }];
    const { stopSequence, usage } = this;
    const reason = this.calls.length > 0 && this.reason === "stop" ? "tool_calls" : this.reason;
    return [...this.begun(), { type: "finished", reason, stopSequence, usage }];
  }

  private readUsage(usage: unknown, events: Event[]): void {
    if (!isObject(usage) || usage.prompt_tokens === undefined) return;
    const cached = isObject(usage.prompt_tokens_details) ? usage.prompt_tokens_details.cached_tokens : 0;
    const details = usage.completion_tokens_details;
    this.usage = {
      promptTokens: count(usage.prompt_tokens),
      completionTokens: count(usage.completion_tokens),
      cachedTokens: Math.min(count(cached), count(usage.prompt_tokens)),
      reasoningTokens: isObject(details) ? count(details.reasoning_tokens) : 0,
    };
    events.push(...this.begun());
  }

  private readDelta(delta: Record<string, unknown>, events: Event[]): void {
    const say = (event: Event) => events.push(...this.begun(), event);
    const thought = filled(delta.reasoning_content) ?? filled(delta.reasoning);
    if (thought !== undefined) say({ type: "reasoning", text: thought });
    const text = filled(delta.content) ?? filled(delta.refusal);
    if (text !== undefined) say({ type: "text", text });
    for (const call of Array.isArray(delta.tool_calls) ? (delta.tool_calls as unknown[]) : [])
      if (isObject(call)) for (const event of this.readCall(call)) say(event);
  }

  private readCall(call: Record<string, unknown>): Event[] {
    const named = isObject(call.function) ? call.function : {};
    // Some servers send whole calls and no number: each with a name is then another one.
    const index = typeof call.index === "number" ? call.index : this.calls.length - (named.name ? 0 : 1);
    const events: Event[] = [];
    if (!this.calls.includes(index)) {
      const name = filled(named.name);
      if (name === undefined) return [{ type: "failed", failure: confused }];
      this.calls.push(index);
      events.push({ type: "call", id: filled(call.id) ?? this.newId("call_"), name });
    } else if (this.calls.at(-1) !== index && filled(named.arguments) !== undefined)
      return [{ type: "failed", failure: confused }];
    const json = filled(named.arguments);
    if (json !== undefined) events.push({ type: "arguments", json });
    return events;
  }

  private begun(): Event[] {
    if (this.started) return [];
    this.started = true;
    return [{ type: "started", promptTokens: this.usage.promptTokens }];
  }
}

const interrupted: Failure = {
  ...{ status: 502, type: "server_error", code: "upstream_interrupted", param: null },
  message: "The neuron broke off in the middle of its answer.",
};

const confused: Failure = {
  ...{ status: 502, type: "server_error", code: "upstream_failed", param: null },
  message: "The neuron with this model gave no valid answer.",
};

/** An error within a stream has no status: its type tells whose fault it is. */
function failureOf(error: Record<string, unknown>): Failure {
  const type = filled(error.type) ?? "server_error";
  const statuses: Record<string, number> = {
    ...{ invalid_request_error: 400, not_found_error: 404, overloaded_error: 503, rate_limit_error: 429 },
  };
  return {
    status: statuses[type] ?? 500,
    type,
    code: codeOf(error),
    message: filled(error.message) ?? confused.message,
    param: filled(error.param) ?? null,
  };
}

function reasonOf(reason: string): FinishReason {
  if (reason === "function_call") return "tool_calls";
  return reason === "length" || reason === "tool_calls" || reason === "content_filter" ? reason : "stop";
}

function filled(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
