// A small client of the OpenAI dialect and of our status routes, for the commands that talk to a running daemon.

import { request } from "undici";

export interface Client {
  /** http://host:port, with or without /v1. */
  endpoint: string;
  /** Sent as a bearer token. */
  key?: string | undefined;
}

interface AnswerFacts {
  status?: number | undefined;
  code?: string;
  reason?: string;
}

/** The daemon said no, or nothing that makes sense. */
export class AnswerError extends Error {
  /** Undefined: nobody answered, or not in time, or in the midst of a stream. */
  readonly status: number | undefined;
  /** Of the error envelope, request_failed where it has none; no_answer where there was no answer, or none to be read. */
  readonly code: string;
  /** The system's own, where nobody answered: ECONNREFUSED. */
  readonly reason: string | undefined;

  constructor(message: string, { status, code = "no_answer", reason }: AnswerFacts = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.reason = reason;
  }
}

export interface Call {
  method?: "GET" | "POST" | "DELETE";
  body?: unknown;
  /** In place of a limit of half a minute. */
  signal?: AbortSignal | undefined;
  /** However long it takes: a load, a download. */
  patient?: boolean;
}

/** Who has not said by then what it knows will not say it, ms. */
const usualLimitMs = 30_000;

export interface ChatChunk {
  choices?: {
    delta?: { content?: string | null; reasoning_content?: string | null; tool_calls?: ToolCallDelta[] };
    finish_reason?: string | null;
  }[];
  usage?: { prompt_tokens: number; completion_tokens: number } | null;
  timings?: { prefill_ms: number; decode_ms: number };
}

interface ToolCallDelta {
  index: number;
  id?: string;
  function?: { name?: string; arguments?: string };
}

/** The daemon's address, whichever way it was written. */
export function baseOf({ endpoint }: Client): string {
  return endpoint.replace(/\/+$/, "").replace(/\/v1$/, "");
}

/** The JSON of a 2xx answer; throws AnswerError. */
export async function call(client: Client, path: string, options: Call = {}): Promise<unknown> {
  const signal = options.signal ?? (options.patient ? undefined : AbortSignal.timeout(usualLimitMs));
  const { body } = await send(client, path, { ...options, signal });
  const text = await body.text().catch((error: unknown) => brokenOff(client, error, signal));
  return parsed(text) ?? fail(`${baseOf(client)}${path} answers, but not with JSON`);
}

/** Streams a chat completion; throws AnswerError before or within the stream. */
export async function* chat(
  client: Client,
  body: Record<string, unknown>,
  signal?: AbortSignal,
): AsyncGenerator<ChatChunk> {
  const options = { stream: true, stream_options: { include_usage: true } };
  const answer = await send(client, "/v1/chat/completions", { body: { ...body, ...options }, signal });
  let isDone = false;
  for await (const data of eventData(unbroken(client, answer.body, signal))) {
    isDone ||= data === "[DONE]";
    if (isDone) continue;
    const chunk = parsed(data);
    if (chunk === undefined) fail(`the stream holds something else than JSON: ${data.slice(0, 100)}`);
    if ("error" in chunk) throw errorOf(chunk, "the stream");
    yield chunk;
  }
  if (!isDone) fail("the stream ended before its end");
}

async function* unbroken(
  client: Client,
  bytes: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  try {
    yield* bytes;
  } catch (error) {
    brokenOff(client, error, signal);
  }
}

/** An answer that had begun; who stopped it by the signal gets its reason. */
function brokenOff(client: Client, error: unknown, signal: AbortSignal | undefined): never {
  if (signal?.aborted && (error as Error).name !== "TimeoutError") throw error;
  const reason = reasonOf(error);
  throw new AnswerError(`${baseOf(client)} broke off its answer (${reason})`, { reason });
}

/** The data of each server-sent event. */
async function* eventData(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of bytes) {
    text += decoder.decode(chunk, { stream: true });
    const events = text.split(/\r?\n\r?\n/);
    text = events.pop()!;
    for (const event of events) {
      const lines = event.split(/\r?\n/).filter((line) => line.startsWith("data:"));
      if (lines.length > 0) yield lines.map((line) => line.replace(/^data: ?/, "")).join("\n");
    }
  }
}

async function send(client: Client, path: string, { method, body, signal }: Call) {
  const url = `${baseOf(client)}${path}`;
  const headers = {
    ...(body !== undefined && { "content-type": "application/json" }),
    ...(client.key !== undefined && { authorization: `Bearer ${client.key}` }),
  };
  let answer: Awaited<ReturnType<typeof request>>;
  try {
    answer = await request(url, {
      ...{ method: method ?? (body === undefined ? "GET" : "POST"), headers },
      ...{ headersTimeout: 0, bodyTimeout: 0, ...(signal && { signal }) }, // a cold load takes its time
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
  } catch (error) {
    if (signal?.aborted && (error as Error).name !== "TimeoutError") throw error;
    const reason = reasonOf(error);
    const message = `nobody answers on ${baseOf(client)} (${reason}); is it running?`;
    throw new AnswerError(message, { reason });
  }
  if (answer.statusCode < 300) return answer;
  const text = await answer.body.text().catch((error: unknown) => brokenOff(client, error, signal));
  throw errorOf(parsed(text), url, answer.statusCode);
}

/** Of an error envelope, which some send as a mere text, or of whatever came in its place from `where`. */
function errorOf(answer: unknown, where: string, status?: number): AnswerError {
  const { error } = (answer ?? {}) as {
    error?: string | { message?: string; code?: string | number | null };
  };
  const { message, code } = typeof error === "string" ? { message: error, code: null } : (error ?? {});
  const said = message ?? `${where} fails, and gives no reason`;
  const text = status === undefined ? said : `${said} (${status})`;
  return new AnswerError(text, { status, code: String(code ?? "request_failed") });
}

function reasonOf(error: unknown): string {
  const { code, message, name } = error as NodeJS.ErrnoException;
  return name === "TimeoutError" ? "no answer in time" : (code ?? message);
}

function parsed(text: string): object | undefined {
  try {
    const value = JSON.parse(text) as unknown;
    return typeof value === "object" && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

function fail(message: string): never {
  throw new AnswerError(message);
}
