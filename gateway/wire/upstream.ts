// One request to one neuron, up to its answer's headers, and what may pass between client and neuron on the way.

import type { IncomingHttpHeaders } from "node:http";
import { Agent } from "undici";
import type { Dispatcher } from "undici";
import { principalHeader } from "../../neuron/protocol.ts";
import { codeOf } from "./answer.ts";
import { Body } from "./body.ts";
import type { GatewayErrorCode } from "../errors.ts";
import { GatewayError } from "../errors.ts";
import type { Stop } from "./stop.ts";

/** Connections live per origin, without any limit on an answer's length: what may be idle is watched by the relay. */
export function openDispatcher(): Dispatcher {
  return new Agent({ headersTimeout: 0, bodyTimeout: 0, connect: { timeout: 5000 } });
}

export interface UpstreamRequest {
  /** The neuron's address, maybe with a path. */
  url: string;
  /** /v1/… */
  path: string;
  headers: Record<string, string | string[] | undefined>;
  body: Buffer | string;
  stop: Stop;
}

export interface Answer {
  statusCode: number;
  headers: IncomingHttpHeaders;
  /** Leaving a loop over it closes the connection. */
  body: AsyncIterable<Buffer>;
}

/** Throws what the connection throws, or why it was stopped. */
export function send(dispatcher: Dispatcher, request: UpstreamRequest): Promise<Answer> {
  const { origin, path } = placeOf(request.url);
  const { headers, body, stop } = request;
  return new Promise((resolve, reject) => {
    const asked = { origin, path: path + request.path, method: "POST" as const, headers, body };
    dispatcher.dispatch(asked, new Receiver(stop, resolve, reject));
  });
}

const places = new Map<string, { origin: string; path: string }>();

/** Neurons' addresses are few, and reading one takes as long as reading a small request. */
function placeOf(url: string): { origin: string; path: string } {
  const known = places.get(url);
  if (known) return known;
  const { origin, pathname } = new URL(url);
  const place = { origin, path: pathname.replace(/\/+$/, "") };
  if (places.size >= mostPlaces) places.clear();
  places.set(url, place);
  return place;
}

const mostPlaces = 1000;

/** Takes one answer off its connection. */
class Receiver implements Dispatcher.DispatchHandler {
  private readonly stop: Stop;
  private readonly resolve: (answer: Answer) => void;
  private readonly reject: (error: unknown) => void;
  private controller: Dispatcher.DispatchController | undefined;
  private body: Body | undefined;
  // One function for good: where each request stores another one, V8 lets the requests outlive their answers.
  private readonly leave = () => this.controller!.abort(this.stop.reason!);

  constructor(stop: Stop, resolve: (answer: Answer) => void, reject: (error: unknown) => void) {
    this.stop = stop;
    this.resolve = resolve;
    this.reject = reject;
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.controller = controller;
    this.stop.onAbort(this.leave);
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    statusCode: number,
    headers: IncomingHttpHeaders,
  ): void {
    if (statusCode < 200) return; // not the answer yet
    this.body = new Body(controller);
    this.resolve({ statusCode, headers, body: this.body });
  }

  onResponseData(_: Dispatcher.DispatchController, chunk: Buffer): void {
    this.body!.push(chunk);
  }

  onResponseEnd(): void {
    this.stop.off(this.leave);
    this.body!.close();
  }

  onResponseError(_: Dispatcher.DispatchController, error: Error): void {
    this.stop.off(this.leave);
    if (this.body) this.body.close(error);
    else this.reject(error);
  }
}

const hopByHop = [
  ...["connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te"],
  ...["trailer", "transfer-encoding", "upgrade"],
];
// The body goes out anew; it is read on the way back, so not compressed; keys are for the gateway, not for neurons.
const notForNeurons = new Set([
  ...hopByHop,
  ...["host", "content-length", "content-type", "accept-encoding", "expect", "x-request-id"],
  ...["authorization", "x-api-key", "cookie", principalHeader],
]);
const notForClients = new Set([...hopByHop, "date", "x-request-id"]);

export function requestHeaders(
  client: IncomingHttpHeaders,
  { id, principal }: { id: string; principal: string | undefined },
): UpstreamRequest["headers"] {
  const headers = without(client, notForNeurons);
  headers["content-type"] = "application/json";
  headers["x-request-id"] = id;
  if (principal !== undefined) headers[principalHeader] = principal;
  return headers;
}

/** `rewritten`: the body may be shorter than the neuron said. */
export function responseHeaders(neuron: IncomingHttpHeaders, rewritten: boolean): IncomingHttpHeaders {
  const headers = without(neuron, notForClients);
  if (rewritten) delete headers["content-length"];
  return headers;
}

function without(headers: IncomingHttpHeaders, dropped: ReadonlySet<string>): IncomingHttpHeaders {
  const { connection } = headers;
  const named = connection === undefined || connection === "keep-alive" ? [] : namesIn(connection);
  const kept: IncomingHttpHeaders = {};
  for (const name in headers) if (!dropped.has(name) && !named.includes(name)) kept[name] = headers[name];
  return kept;
}

/** A connection's own headers, which `Connection` names. */
function namesIn(connection: string): string[] {
  return connection.split(/\s*,\s*/).map((name) => name.toLowerCase());
}

/** A neuron's own OpenAI error, which goes to the client as it is. */
export class NeuronRefusal extends Error {
  readonly status: number;
  readonly code: string;
  readonly body: Buffer;
  readonly retryAfter: string | undefined;
  /** X-Should-Retry, where the neuron knows better than the status says. */
  readonly shouldRetry: string | undefined;

  constructor(status: number, code: string, body: Buffer, retryAfter?: string, shouldRetry?: string) {
    super(`a neuron answered ${status} ${code}`);
    this.status = status;
    this.code = code;
    this.body = body;
    this.retryAfter = retryAfter;
    this.shouldRetry = shouldRetry;
  }
}

/** Errors are short; what is longer is not one of a neuron's. */
const longestError = 1 << 16;

/** Reads an answer that is not a 2xx; what is not an OpenAI error becomes ours, for its words must not get out. */
export async function readRefusal(answer: Answer): Promise<NeuronRefusal | GatewayError> {
  const body = await readAtMost(longestError, answer.body);
  const error = body && errorIn(body);
  const { statusCode, headers } = answer;
  if (body === undefined || error === undefined || statusCode < 400)
    return new GatewayError("upstream_failed", "The neuron with this model gave no valid answer.");
  const header = (name: string) => [headers[name]].flat()[0];
  return new NeuronRefusal(statusCode, codeOf(error), body, header("retry-after"), header("x-should-retry"));
}

/** Undefined when there is more. */
export async function readAtMost(most: number, body: AsyncIterable<Buffer>): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of body) {
    length += chunk.length;
    if (length > most) return undefined; // leaving the loop closes the connection
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function errorIn(body: Buffer): object | undefined {
  try {
    const { error } = JSON.parse(body.toString()) as { error?: { message?: unknown } };
    return typeof error?.message === "string" ? error : undefined;
  } catch {
    return undefined;
  }
}

/** True when a neuron is to blame, and not the request, nor how busy it is. */
export function isFault(code: string | undefined): boolean {
  return code !== undefined && faults.has(code);
}

const faults: ReadonlySet<string> = new Set<GatewayErrorCode>([
  ...(["upstream_unreachable", "upstream_failed", "upstream_interrupted", "upstream_timeout"] as const),
]);

/** True when another neuron may do better: this one is full, going down, out of reach, or has lost the model. */
export function isRetryable(failure: NeuronRefusal | GatewayError): boolean {
  if (failure instanceof GatewayError) return failure.code !== "upstream_timeout";
  const { status, code } = failure;
  return [429, 502, 503, 504].includes(status) || (status === 404 && code === "model_not_found");
}
