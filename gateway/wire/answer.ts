// What the gateway learns from an answer while its bytes pass: first delta, usage, whether it came to its end.
//
// A stream is forwarded event by event: an event goes out, byte for byte, as soon as its last byte is in; only an
// unfinished event is held, so that a neuron's death never leaves half an event in front of our error. Usage is always
// asked of the neuron; for a client that did not ask, the usage-only chunk (empty `choices`) is left out again.
// After the first delta nothing is parsed but the usage chunk and errors: one search a event for each.

import { valueAt } from "./json-edit.ts";

export interface Usage {
  promptTokens: number;
  completionTokens: number;
  cachedTokens: number;
}

/** What was seen of an answer; times are in milliseconds of performance.now(). */
export interface Seen {
  firstDeltaAt: number | undefined;
  lastDeltaAt: number | undefined;
  /** Events from the first delta on: about as many as tokens. */
  deltas: number;
  usage: Usage | undefined;
  /** The code of an error that the neuron sent within its stream. */
  errorCode: string | undefined;
}

const LF = 10;
const CR = 13;
const colon = 58;
/** An event longer than this goes out in pieces, unread. */
export const longestEvent = 1 << 20;
/** Of a whole JSON answer, the end is kept: usage stands after the choices. */
const tailLength = 1 << 16;
const nothing = Buffer.alloc(0);
/** What is looked for in every event; as bytes, for a text is made into bytes at each search. */
const [usageMark, errorMark] = [Buffer.from('"prompt_tokens"'), Buffer.from('"error"')];

export class EventStream {
  readonly seen: Seen = blank();
  /** True once [DONE] or an error event has passed: the stream may end now. */
  complete = false;
  /** True while an overlong event has partly gone out. */
  torn = false;
  private held: Buffer = nothing;
  private readonly hideUsage: boolean;
  private readonly now: () => number;

  constructor(options: { hideUsage: boolean; now?: () => number }) {
    this.hideUsage = options.hideUsage;
    this.now = options.now ?? (() => performance.now());
  }

  /** Takes bytes of the neuron, gives those that the client may have now. */
  push(chunk: Buffer): Buffer {
    const bytes = this.held.length > 0 ? Buffer.concat([this.held, chunk]) : chunk;
    const searchFrom = Math.max(0, this.held.length - 2);
    const pieces: Buffer[] = [];
    let start = 0;
    let kept = 0; // bytes.subarray(kept, start) is to be forwarded
    for (let end = eventEnd(bytes, searchFrom); end !== -1; end = eventEnd(bytes, start)) {
      if (!this.torn && !this.read(bytes.subarray(start, end))) {
        if (start > kept) pieces.push(bytes.subarray(kept, start));
        kept = end;
      }
      this.torn = false;
      start = end;
    }
    if (start > kept) pieces.push(bytes.subarray(kept, start));
    this.hold(bytes.subarray(start), pieces);
    return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
  }

  /** The neuron ended: what is left without a blank line behind it. */
  end(): Buffer {
    const rest = this.held;
    this.held = nothing;
    if (rest.length === 0 || this.torn) return rest;
    return this.read(rest) ? rest : nothing;
  }

  private hold(rest: Buffer, pieces: Buffer[]): void {
    const tooLong = this.torn || rest.length > longestEvent;
    this.held = tooLong ? nothing : rest;
    if (!tooLong || rest.length === 0) return;
    this.torn = true;
    pieces.push(rest);
  }

  /** Looks at one event; false: the client does not get it. */
  private read(event: Buffer): boolean {
    if (event[0] === colon) return true;
    if (event.length < 24 && event.includes("[DONE]")) {
      this.complete = true;
      return true;
    }
    if (event.includes(usageMark) && this.readUsage(event)) return !this.hideUsage;
    if (event.includes(errorMark)) this.readError(event);
    if (this.seen.firstDeltaAt === undefined && !hasDelta(parse(event))) return true;
    this.seen.deltas++;
    this.seen.lastDeltaAt = this.now();
    this.seen.firstDeltaAt ??= this.seen.lastDeltaAt;
    return true;
  }

  /** True when the event carries usage and nothing else. */
  private readUsage(event: Buffer): boolean {
    const chunk = parse(event);
    this.seen.usage = toUsage(chunk?.usage) ?? this.seen.usage;
    return isObject(chunk?.usage) && Array.isArray(chunk.choices) && chunk.choices.length === 0;
  }

  private readError(event: Buffer): void {
    const error = parse(event)?.error;
    if (!isObject(error)) return;
    this.complete = true;
    this.seen.errorCode = codeOf(error);
  }
}

/** A whole JSON answer, forwarded as it comes, one piece late: the last one goes out together with its end. */
export class JsonBody {
  readonly seen: Seen = blank();
  private tail: Buffer = nothing;
  private last: Buffer = nothing;

  push(chunk: Buffer): Buffer {
    const bytes = this.tail.length > 0 ? Buffer.concat([this.tail, chunk]) : chunk;
    this.tail = bytes.length > tailLength ? bytes.subarray(bytes.length - tailLength) : bytes;
    const before = this.last;
    this.last = chunk;
    return before;
  }

  end(): Buffer {
    const text = this.tail.toString();
    const key = text.lastIndexOf('"usage"');
    const open = text.indexOf("{", key);
    if (key !== -1 && open !== -1) this.seen.usage = toUsage(parseJson(valueAt(text, open)));
    return this.last;
  }
}

/** The `code` of an OpenAI error object, or what stands for a missing or unseemly one. */
export function codeOf(error: unknown): string {
  const code = (error as { code?: unknown } | undefined)?.code;
  return typeof code === "string" && /^[a-z0-9_.-]{1,64}$/i.test(code) ? code : "upstream_error";
}

export function blank(): Seen {
  return {
    firstDeltaAt: undefined,
    lastDeltaAt: undefined,
    deltas: 0,
    usage: undefined,
    errorCode: undefined,
  };
}

/** The index behind the first blank line at or after `from`, or -1. */
export function eventEnd(bytes: Buffer, from: number): number {
  for (let i = bytes.indexOf(LF, from); i !== -1; i = bytes.indexOf(LF, i + 1)) {
    if (bytes[i + 1] === LF) return i + 2;
    if (bytes[i + 1] === CR && bytes[i + 2] === LF) return i + 3;
  }
  return -1;
}

export interface Chunk {
  choices?: unknown;
  usage?: unknown;
  error?: unknown;
}

/** The data of one event, where it is a JSON object. */
export function parse(event: Buffer): Chunk | undefined {
  const lines = event.toString().split(/\r?\n/);
  const data = lines.filter((line) => line.startsWith("data:")).map((line) => line.slice(5));
  const value = parseJson(data.join("\n"));
  return isObject(value) ? value : undefined;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // not ours to judge: it goes to the client as it is
  }
}

/** True when a chunk brings something to read: text, reasoning or a tool call; not a role, not a keepalive. */
function hasDelta(chunk: Chunk | undefined): boolean {
  if (!Array.isArray(chunk?.choices)) return false;
  return (chunk.choices as { delta?: Record<string, unknown>; text?: unknown }[]).some(
    (choice) =>
      filled(choice?.text) ||
      ["content", "reasoning_content", "reasoning", "refusal", "tool_calls"].some((key) =>
        filled(choice?.delta?.[key]),
      ),
  );
}

function filled(value: unknown): boolean {
  return (typeof value === "string" || Array.isArray(value)) && value.length > 0;
}

function toUsage(value: unknown): Usage | undefined {
  if (!isObject(value) || value.prompt_tokens === undefined) return undefined;
  const details = value.prompt_tokens_details;
  return {
    promptTokens: count(value.prompt_tokens),
    completionTokens: count(value.completion_tokens),
    cachedTokens: isObject(details) ? count(details.cached_tokens) : 0,
  };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

/** A figure of somebody else's: 0 where it is none. */
export function count(value: unknown): number {
  return typeof value === "number" && value >= 0 && Number.isFinite(value) ? value : 0;
}
