// The answers of servers of other makes, made whole: what clients and our own reader rely on is there, whichever server
// spoke. Pure.
//   reasoning         → reasoning_content (Ollama, vLLM, OpenRouter)
//   tool calls        one index each, a name and an id once, arguments as text (Ollama sends all with index 0 or none)
//   finish_reason     of OpenAI's words; "tool_calls" after calls; there, before [DONE], where the server forgot it
//   id, object, …     in every chunk

import type { Failure } from "../dialects/canonical.ts";
import { failureIn } from "./failures.ts";

type Json = Record<string, unknown>;

export interface Naming {
  newId: (prefix: string) => string;
  /** Seconds since 1970. */
  created: number;
  /** Our id of it. */
  model: string;
}

/** The chunks of one stream, one after another. */
export class ChunkMender {
  /** Set once: nothing is to be sent after it. */
  failure: Failure | undefined;
  /** Something to read has passed: text, reasoning or a call. */
  spoke = false;
  private readonly naming: Naming;
  private readonly choices = new Map<number, ChoiceMender>();
  private head: Json = {};

  constructor(naming: Naming) {
    this.naming = naming;
  }

  /** What goes to the client in the place of one chunk, in order. */
  push(chunk: unknown): Json[] {
    if (!isObject(chunk) || this.failure) return [];
    this.failure = failureIn(chunk, undefined);
    if (this.failure) return [];
    this.head = headOf(chunk, this.head, "chat.completion.chunk", this.naming);
    const choices = (Array.isArray(chunk.choices) ? chunk.choices : []).filter(isObject);
    for (const choice of choices) this.mend(choice);
    const closing = choices.length === 0 && isObject(chunk.usage) ? this.end() : [];
    return [...closing, { ...chunk, ...this.head, choices }];
  }

  /** As our neurons begin, when they are asked how long the prompt is. */
  lengthChunk(tokens: number): Json {
    this.head = headOf({}, this.head, "chat.completion.chunk", this.naming);
    return {
      ...this.head,
      choices: [],
      usage: { prompt_tokens: tokens, completion_tokens: 0, total_tokens: tokens },
    };
  }

  /** The server is done: the ends of choices that had none. */
  end(): Json[] {
    const open = [...this.choices].filter(([, choice]) => !choice.finished);
    if (open.length === 0 || this.failure) return [];
    const choices = open.map(([index, choice]) => ({
      index,
      delta: {},
      finish_reason: choice.finish("stop"),
    }));
    return [{ ...this.head, choices }];
  }

  /** True when every choice has said how it ends. */
  get finished(): boolean {
    return this.choices.size > 0 && [...this.choices.values()].every(({ finished }) => finished);
  }

  private mend(choice: Json): void {
    const index = typeof choice.index === "number" ? choice.index : 0;
    const mender = this.choices.get(index) ?? new ChoiceMender(this.naming.newId);
    this.choices.set(index, mender);
    choice.index = index;
    const delta = isObject(choice.delta) ? choice.delta : {};
    choice.delta = delta;
    mendReasoning(delta);
    mender.mendCalls(delta);
    this.spoke ||= [delta.content, delta.reasoning_content, delta.tool_calls].some(Boolean);
    choice.finish_reason = mender.finish(choice.finish_reason);
  }
}

/** A whole answer, or the failure that it holds. */
export function mendWhole(body: unknown, naming: Naming): Json | Failure | undefined {
  if (!isObject(body)) return undefined;
  const failure = failureIn(body, undefined);
  if (failure) return failure;
  if (!Array.isArray(body.choices)) return undefined;
  const choices = body.choices.filter(isObject);
  choices.forEach((choice, i) => {
    const mender = new ChoiceMender(naming.newId);
    const message = isObject(choice.message) ? choice.message : { role: "assistant", content: "" };
    choice.message = message;
    choice.index = typeof choice.index === "number" ? choice.index : i;
    mendReasoning(message);
    mender.mendCalls(message);
    if (Array.isArray(message.tool_calls)) message.tool_calls.forEach((call: Json) => delete call.index);
    choice.finish_reason = mender.finish(choice.finish_reason) ?? mender.finish("stop");
  });
  return { ...body, ...headOf(body, {}, "chat.completion", naming), choices };
}

/** One choice: its calls, and how it ends. */
class ChoiceMender {
  finished = false;
  private readonly newId: (prefix: string) => string;
  /** In order; `index` is the server's own. */
  private readonly calls: { id: string; index: number | undefined }[] = [];

  constructor(newId: (prefix: string) => string) {
    this.newId = newId;
  }

  finish(reason: unknown): string | null {
    if (typeof reason !== "string" || reason === "") return null;
    this.finished = true;
    const known = reasons[reason] ?? "stop";
    return known === "stop" && this.calls.length > 0 ? "tool_calls" : known;
  }

  /** `said` is a delta or a message. */
  mendCalls(said: Json): void {
    if (!Array.isArray(said.tool_calls)) return;
    said.tool_calls = said.tool_calls.filter(isObject).map((call) => this.mendCall(call));
    if ((said.tool_calls as unknown[]).length === 0) delete said.tool_calls;
  }

  private mendCall(call: Json): Json {
    const named = isObject(call.function) ? call.function : {};
    const name = filled(named.name);
    const args = argumentsOf(named.arguments);
    const at = this.placeOf(call, name);
    if (at !== -1) return { index: at, ...(args !== undefined && { function: { arguments: args } }) };
    const id = filled(call.id) ?? this.newId("call_");
    this.calls.push({ id, index: numberOf(call.index) });
    const { length } = this.calls;
    return { index: length - 1, id, type: "function", function: { name: name ?? "", arguments: args ?? "" } };
  }

  /** Which of the calls so far this is more of; -1: another one. */
  private placeOf(call: Json, name: string | undefined): number {
    const [id, index] = [filled(call.id), numberOf(call.index)];
    const last = this.calls.findLastIndex((one) => index === undefined || one.index === index);
    if (last === -1 || name === undefined) return last;
    // Another name under the same number: another call, unless the server repeats itself in every piece.
    return index !== undefined && (id === undefined || this.calls[last]!.id === id) ? last : -1;
  }
}

const reasons: Readonly<Record<string, string>> = {
  ...{ stop: "stop", length: "length", tool_calls: "tool_calls", content_filter: "content_filter" },
  ...{
    function_call: "function_call",
    max_tokens: "length",
    tool_use: "tool_calls",
    tool_call: "tool_calls",
  },
};

function mendReasoning(said: Json): void {
  const { reasoning } = said;
  if (typeof reasoning !== "string") return;
  delete said.reasoning;
  said.reasoning_content ??= reasoning;
}

function argumentsOf(value: unknown): string | undefined {
  if (value === undefined || value === null) return undefined;
  return typeof value === "string" ? value : JSON.stringify(value);
}

function headOf(chunk: Json, before: Json, object: string, { newId, created, model }: Naming): Json {
  return {
    id: filled(chunk.id) ?? before.id ?? newId("chatcmpl-"),
    object,
    created: numberOf(chunk.created) ?? before.created ?? created,
    model,
  };
}

function filled(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

function numberOf(value: unknown): number | undefined {
  return typeof value === "number" ? value : undefined;
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
