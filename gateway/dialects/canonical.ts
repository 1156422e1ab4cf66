// The one middle in which all dialects meet: a request as an ordered list of items, an answer as a stream of events.
// A dialect is rendered from and to these; none is rendered from another. Plain data.

export type Role = "system" | "developer" | "user" | "assistant";

/** `url` is http(s) or a data URI. */
export type Part =
  { type: "text"; text: string } | { type: "image"; url: string; detail?: string | undefined };

/** In the order in which it was said. */
export type Item =
  | { type: "message"; role: Role; parts: Part[] }
  /** The model's thoughts before what follows. */
  | { type: "reasoning"; text: string }
  /** `arguments` is JSON. */
  | { type: "call"; id: string; name: string; arguments: string }
  | { type: "result"; id: string; parts: Part[]; failed: boolean };

export interface Tool {
  name: string;
  description?: string | undefined;
  /** JSON Schema. */
  parameters?: Readonly<Record<string, unknown>> | undefined;
  strict?: boolean | undefined;
}

export type Choice = "auto" | "none" | "required" | { name: string };

/** What an answer's text must look like. */
export type Format =
  | { type: "json_object" }
  | {
      type: "json_schema";
      name: string;
      schema: Readonly<Record<string, unknown>>;
      description?: string | undefined;
      strict?: boolean | undefined;
    };

export interface Canonical {
  model: string;
  items: Item[];
  tools: Tool[];
  choice: Choice;
  /** False: at most one call in an answer. */
  parallelCalls: boolean;
  /** The last item is the beginning of the answer, to be continued. */
  continues: boolean;
  /** Undefined leaves it to the model. */
  thinking: boolean | undefined;
  effort: string | undefined;
  verbosity: string | undefined;
  format: Format | undefined;
  /** Absent: as the model's authors advise. */
  options: {
    maxTokens?: number | undefined;
    temperature?: number | undefined;
    topP?: number | undefined;
    topK?: number | undefined;
    presencePenalty?: number | undefined;
    frequencyPenalty?: number | undefined;
    stop?: readonly string[] | undefined;
  };
}

export interface Usage {
  promptTokens: number;
  completionTokens: number;
  /** Of the prompt: those that the prefix cache held. */
  cachedTokens: number;
  /** Of the completion. */
  reasoningTokens: number;
}

export type FinishReason = "stop" | "length" | "tool_calls" | "content_filter";

/** Why a request failed, before its answer or within it, in terms that every dialect can tell. */
export interface Failure {
  /** As HTTP has it, also where it is told within a stream. */
  status: number;
  /** OpenAI's. */
  type: string;
  code: string;
  message: string;
  /** The field at fault. */
  param: string | null;
}

/**
 * An answer as it grows: `started` first; `call` opens a tool call and `arguments` carries pieces of its JSON, one call
 * after another; `finished` or `failed` last.
 */
export type Event =
  | { type: "started"; promptTokens: number }
  | { type: "reasoning"; text: string }
  | { type: "text"; text: string }
  | { type: "call"; id: string; name: string }
  | { type: "arguments"; json: string }
  | { type: "finished"; reason: FinishReason; stopSequence: string | undefined; usage: Usage }
  | { type: "failed"; failure: Failure };

/** One server-sent event. */
export interface Frame {
  event: string;
  data: object;
}

/** Turns one answer's events into one dialect's; one encoder an answer. */
export interface Encoder {
  /** What may be said before anything is known. */
  open(): Frame[];
  event(event: Event): Frame[];
  /** What the dialect has for a time in which nothing happens; clients count comments as silence. */
  keepalive(): Frame[];
  /** The same answer as one body, once `finished` has passed. */
  whole(): object;
}
