// A neuron's answer to the client: headers, then the bytes as they come. What fails after the first byte is told
// within the stream, as an error event, and the stream then ends without [DONE]: a clean end would pass for an answer.

import type { ServerResponse } from "node:http";
import { EventStream, JsonBody } from "../wire/answer.ts";
import type { Answered } from "./dispatch.ts";
import { openAiError } from "../dialects/failures.ts";
import { GatewayError } from "../errors.ts";
import { failureOf } from "./failure.ts";
import type { Exchange } from "../telemetry/exchange.ts";
import { relay } from "../wire/relay.ts";
import type { Stop } from "../wire/stop.ts";
import { responseHeaders } from "../wire/upstream.ts";

export interface Forwarding extends Answered {
  client: ServerResponse;
  hideUsage: boolean;
  stop: Stop;
  idleMs: number;
}

export async function forward(exchange: Exchange, forwarding: Forwarding): Promise<void> {
  const { answer, client, hideUsage, stop, release, idleMs } = forwarding;
  const streams = /^text\/event-stream\b/.test(String(answer.headers["content-type"]));
  const reading = streams || client.headersSent ? new EventStream({ hideUsage }) : new JsonBody();
  exchange.seen = reading.seen;
  // They may be out already, for a client that has waited long; then it expects events.
  if (!client.headersSent) sendHeaders(exchange, forwarding, streams);
  else if (!streams) stop.abort(noStream());
  const idle = { ms: idleMs, onIdle: () => stop.abort(tooQuiet()) };
  try {
    const relayed = relay(answer.body, client, reading, idle);
    if (streams && !client.headersSent) client.flushHeaders(); // else they went with the first events
    const rest = await relayed;
    if (reading instanceof EventStream && !reading.complete && !client.destroyed) {
      client.write(rest);
      throw new Error("the stream ended without [DONE]");
    }
    exchange.errorCode = reading.seen.errorCode;
    client.end(rest);
  } catch {
    const { reason } = stop;
    breakOff(exchange, client, reading, reason instanceof GatewayError ? reason : interrupted());
  } finally {
    release();
  }
}

function sendHeaders(exchange: Exchange, { answer, client }: Forwarding, streams: boolean): void {
  const headers = responseHeaders(answer.headers, streams);
  for (const [name, value] of Object.entries(headers)) if (value !== undefined) client.setHeader(name, value);
  client.setHeader("x-request-id", exchange.id);
  client.setHeader("x-cortex-neuron", exchange.neuron);
  client.statusCode = answer.statusCode;
}

function breakOff(
  exchange: Exchange,
  client: ServerResponse,
  reading: EventStream | JsonBody,
  error: GatewayError,
): void {
  if (client.destroyed) return; // the client left first: its hang-up is what ended the neuron's answer
  exchange.errorCode = error.code;
  const body = JSON.stringify(openAiError(failureOf(error)));
  if (reading instanceof EventStream) client.end(`${reading.torn ? "\n\n" : ""}data: ${body}\n\n`);
  else if (client.headersSent) client.destroy();
  else {
    client.statusCode = error.kind.status;
    client.removeHeader("content-length");
    client.setHeader("content-type", "application/json");
    client.end(body);
  }
}

function noStream(): GatewayError {
  return new GatewayError("upstream_failed", "The neuron with this model gave no stream.");
}

function interrupted(): GatewayError {
  return new GatewayError("upstream_interrupted", "The neuron broke off in the middle of its answer.");
}

function tooQuiet(): GatewayError {
  return new GatewayError("upstream_timeout", "The neuron fell silent in the middle of its answer.");
}
