// Canonical events as OpenAI's response, in events and whole. Items of the output come one after another, each
//   output_item.added → its parts and their deltas → output_item.done
// between created, in_progress and one of completed, incomplete, failed. Every event is numbered from 0.

import type { Encoder, Event, Failure, FinishReason, Frame, Usage } from "./canonical.ts";
import { responseError } from "./failures.ts";
import type { ResponsesBody } from "./responses-body.ts";
import { seal } from "./seal.ts";

export interface ResponseHead {
  /** resp_…; ids of items are made of it, so that an item leads to its response. */
  id: string;
  /** Seconds since 1970. */
  createdAt: number;
  now: () => number;
  request: ResponsesBody;
}

type Status = "in_progress" | "completed" | "incomplete";

interface Part {
  type: "output_text" | "reasoning_text" | "summary_text";
  text: string;
  [field: string]: unknown;
}

interface OutputItem {
  type: "message" | "reasoning" | "function_call";
  id: string;
  status: Status;
  [field: string]: unknown;
}

/** How the one part of an item is told: where it lies, and the names of its events. */
interface Telling {
  list: "content" | "summary";
  part: Part;
  index: object;
  added: string;
  delta: string;
  done: string;
  partDone: string;
}

export interface ResponsesEncoder extends Encoder {
  whole(): Response;
}

export type Response = ReturnType<typeof emptyResponse>;

export function responsesEncoder(head: ResponseHead): ResponsesEncoder {
  return new EncoderOfResponses(head);
}

class EncoderOfResponses implements ResponsesEncoder {
  private readonly head: ResponseHead;
  private readonly response: Response;
  private readonly output: OutputItem[] = [];
  private sequence = 0;
  /** The item that grows, and for a message or thoughts its part. */
  private item: OutputItem | undefined;
  private telling: Telling | undefined;

  constructor(head: ResponseHead) {
    this.head = head;
    this.response = { ...emptyResponse(head), output: this.output };
  }

  open(): Frame[] {
    return [this.told("response.created"), this.told("response.in_progress")];
  }

  keepalive(): Frame[] {
    return [this.told("response.in_progress")];
  }

  event(event: Event): Frame[] {
    switch (event.type) {
      case "started":
        return [];
      case "reasoning":
        return this.grow("reasoning", event.text);
      case "text":
        return this.grow("message", event.text);
      case "call":
        return this.call(event);
      case "arguments":
        return this.argue(event.json);
      case "finished":
        return this.finish(event);
      case "failed":
        return this.fail(event.failure);
    }
    return event satisfies never;
  }

  whole(): Response {
    return this.response;
  }

  private grow(type: "reasoning" | "message", text: string): Frame[] {
    const frames = this.item?.type === type ? [] : this.begin(type);
    const telling = this.telling!;
    telling.part.text += text;
    return [...frames, this.frame(telling.delta, { ...this.place(), delta: text, ...logprobs(telling) })];
  }

  private begin(type: "reasoning" | "message"): Frame[] {
    const closed = this.close("completed");
    const item: OutputItem =
      type === "message"
        ? { type, id: this.newId("msg"), status: "in_progress", role: "assistant", content: [] }
        : { type, id: this.newId("rs"), status: "in_progress", summary: [] };
    const summarised = type === "reasoning" && Boolean(this.head.request.reasoning?.summary);
    this.telling = type === "message" ? asText() : summarised ? asSummary() : asThoughts();
    if (type === "reasoning" && !summarised) item.content = [];
    const added = this.add(item);
    (item[this.telling.list] as Part[]).push(this.telling.part);
    const part = { ...this.telling.part };
    return [...closed, added, this.frame(this.telling.added, { ...this.place(), part })];
  }

  private call({ id, name }: { id: string; name: string }): Frame[] {
    const closed = this.close("completed");
    const item: OutputItem = {
      ...{ type: "function_call", id: this.newId("fc"), status: "in_progress" },
      ...{ call_id: id, name, arguments: "" },
    };
    return [...closed, this.add(item)];
  }

  private argue(json: string): Frame[] {
    const item = this.item!;
    item.arguments = String(item.arguments) + json;
    return [this.frame("response.function_call_arguments.delta", { ...this.place(), delta: json })];
  }

  private add(item: OutputItem): Frame {
    this.output.push(item);
    this.item = item;
    const output_index = this.output.length - 1;
    return this.frame("response.output_item.added", { output_index, item: structuredClone(item) });
  }

  private close(status: Status): Frame[] {
    const { item, telling } = this;
    if (!item) return [];
    const done = telling ? this.closePart(telling) : [this.argued(item)];
    item.status = status;
    if (item.type === "reasoning" && telling && this.wantsSealed())
      item.encrypted_content = seal(telling.part.text);
    const output_index = this.output.length - 1;
    const last = this.frame("response.output_item.done", { output_index, item: structuredClone(item) });
    this.item = this.telling = undefined;
    return [...done, last];
  }

  private closePart(telling: Telling): Frame[] {
    const { text } = telling.part;
    return [
      this.frame(telling.done, { ...this.place(), text, ...logprobs(telling) }),
      this.frame(telling.partDone, { ...this.place(), part: { ...telling.part } }),
    ];
  }

  private argued({ name, arguments: args }: OutputItem): Frame {
    return this.frame("response.function_call_arguments.done", { ...this.place(), name, arguments: args });
  }

  private finish({ reason, usage }: { reason: FinishReason; usage: Usage }): Frame[] {
    const cut = reason === "length" || reason === "content_filter";
    const closed = this.close(cut ? "incomplete" : "completed");
    const why = reason === "length" ? "max_output_tokens" : "content_filter";
    Object.assign(this.response, {
      status: cut ? "incomplete" : "completed",
      completed_at: cut ? null : this.head.now(),
      incomplete_details: cut ? { reason: why } : null,
      usage: responseUsage(usage),
    });
    // Not a copy: whether it was stored is known only now, and told in `store`.
    return [
      ...closed,
      this.frame(cut ? "response.incomplete" : "response.completed", { response: this.response }),
    ];
  }

  /** The event that stops the SDKs, then the one that ends the response. */
  private fail(failure: Failure): Frame[] {
    if (this.item) this.item.status = "incomplete";
    const { type, code, message, param } = failure;
    const error = this.frame("error", { code, message, param, error: { type, code, message, param } });
    Object.assign(this.response, { status: "failed", error: responseError(failure), store: false });
    return [error, this.told("response.failed")];
  }

  /** Where the growing part lies. */
  private place(): object {
    return { item_id: this.item!.id, output_index: this.output.length - 1, ...this.telling?.index };
  }

  private wantsSealed(): boolean {
    return this.head.request.include?.includes("reasoning.encrypted_content") ?? false;
  }

  private newId(prefix: string): string {
    return `${prefix}_${this.head.id.slice("resp_".length)}_${this.output.length}`;
  }

  /** The response as it stands now: a client that takes it for the state loses nothing. */
  private told(type: string): Frame {
    return this.frame(type, { response: { ...this.response, output: structuredClone(this.output) } });
  }

  private frame(type: string, fields: object): Frame {
    return { event: type, data: { type, sequence_number: this.sequence++, ...fields } };
  }
}

/** Text deltas have a list for log-probabilities, even an empty one. */
function logprobs({ list, part }: Telling): object {
  return list === "content" && part.type === "output_text" ? { logprobs: [] } : {};
}

function asText(): Telling {
  return {
    list: "content",
    part: { type: "output_text", text: "", annotations: [], logprobs: [] },
    index: { content_index: 0 },
    added: "response.content_part.added",
    delta: "response.output_text.delta",
    done: "response.output_text.done",
    partDone: "response.content_part.done",
  };
}

function asThoughts(): Telling {
  return {
    ...asText(),
    part: { type: "reasoning_text", text: "" },
    delta: "response.reasoning_text.delta",
    done: "response.reasoning_text.done",
  };
}

/** A client that asks for a summary shows nothing else; the thoughts themselves are the best summary there is. */
function asSummary(): Telling {
  return {
    list: "summary",
    part: { type: "summary_text", text: "" },
    index: { summary_index: 0 },
    added: "response.reasoning_summary_part.added",
    delta: "response.reasoning_summary_text.delta",
    done: "response.reasoning_summary_text.done",
    partDone: "response.reasoning_summary_part.done",
  };
}

function responseUsage({ promptTokens, completionTokens, cachedTokens, reasoningTokens }: Usage) {
  return {
    input_tokens: promptTokens,
    input_tokens_details: { cached_tokens: cachedTokens, cache_write_tokens: 0 },
    output_tokens: completionTokens,
    output_tokens_details: { reasoning_tokens: reasoningTokens },
    total_tokens: promptTokens + completionTokens,
  };
}

/** Every field that the API's schema has; what was not asked for as the value that means so. */
function emptyResponse({ id, createdAt, request }: ResponseHead) {
  const { reasoning, text } = request;
  return {
    ...{ id, object: "response" as const, created_at: createdAt, completed_at: null as number | null },
    status: "in_progress" as "in_progress" | "completed" | "incomplete" | "failed",
    error: null as object | null,
    incomplete_details: null as object | null,
    model: request.model,
    previous_response_id: request.previous_response_id ?? null,
    instructions: request.instructions ?? null,
    output: [] as OutputItem[],
    tools: functionTools(request.tools),
    tool_choice: request.tool_choice ?? "auto",
    parallel_tool_calls: request.parallel_tool_calls ?? true,
    max_output_tokens: request.max_output_tokens ?? null,
    max_tool_calls: request.max_tool_calls ?? null,
    temperature: request.temperature ?? 1,
    top_p: request.top_p ?? 1,
    presence_penalty: request.presence_penalty ?? 0,
    frequency_penalty: request.frequency_penalty ?? 0,
    top_logprobs: 0,
    reasoning: { ...reasoning, effort: reasoning?.effort ?? null, summary: reasoning?.summary ?? null },
    text: { ...text, format: text?.format ?? { type: "text" } },
    truncation: "disabled",
    store: request.store ?? true,
    background: false,
    service_tier: "default",
    access_programs: null,
    metadata: request.metadata ?? {},
    ...(typeof request.user === "string" && { user: request.user }),
    safety_identifier: request.safety_identifier ?? null,
    prompt_cache_key: request.prompt_cache_key ?? null,
    usage: null as ReturnType<typeof responseUsage> | null,
  };
}

/** Those that the model was told of. */
function functionTools(tools: ResponsesBody["tools"]): object[] {
  return (tools ?? [])
    .filter(({ type }) => type === "function")
    .map(({ type, name, description, parameters, strict }) => ({
      ...{ type, name, strict: strict ?? false },
      ...{ description: description ?? null, parameters: parameters ?? null },
    }));
}
