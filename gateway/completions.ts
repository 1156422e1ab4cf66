// POST /v1/chat/completions and /v1/completions: read the model, find a neuron's answer, forward it.

import type { ServerResponse } from "node:http";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { outgoing, readAsk } from "./ask.ts";
import { concreteId } from "./catalogue.ts";
import { findAnswer } from "./dispatch.ts";
import { GatewayError } from "./errors.ts";
import type { Exchange } from "./exchange.ts";
import { openExchange, timingOf } from "./exchange.ts";
import { forward } from "./forward.ts";
import type { Gateway } from "./gateway.ts";
import { requestHeaders } from "./upstream.ts";

declare module "fastify" {
  interface FastifyRequest {
    exchange: Exchange | null;
  }
}

export async function completionRoutes(
  app: FastifyInstance,
  { gateway }: { gateway: Gateway },
): Promise<void> {
  app.addHook("onRequest", async (request, reply) => {
    request.exchange = begin(gateway, request, reply);
    if (gateway.draining) throw new GatewayError("shutting_down", "The gateway is shutting down.");
  });
  for (const path of ["/v1/chat/completions", "/v1/completions"])
    app.post(path, (request, reply) => complete(gateway, request, reply));
}

/** Opens the exchange and sees to it that it is counted and logged, however it ends. */
function begin(gateway: Gateway, request: FastifyRequest, reply: FastifyReply): Exchange {
  const exchange = openExchange(request.routeOptions.url ?? "", request.headers["x-request-id"]);
  const client = reply.raw;
  reply.header("x-request-id", exchange.id);
  client.once("close", () => {
    exchange.clientClosed = !client.writableFinished && exchange.errorCode === undefined;
    if (client.headersSent) exchange.status = client.statusCode;
    const endedAt = performance.now();
    gateway.metrics.record(exchange, endedAt);
    logExchange(gateway, exchange, endedAt);
  });
  return exchange;
}

async function complete(gateway: Gateway, request: FastifyRequest, reply: FastifyReply): Promise<void> {
  const exchange = request.exchange!;
  const ask = readAsk(request.body as Buffer | undefined);
  exchange.asked = ask.model;
  exchange.stream = ask.stream;
  const model = concreteId(gateway.models, ask.model);
  const out = outgoing(ask, model);
  const stop = stopOnHangUp(gateway, reply.raw);
  const headers = requestHeaders(request.headers, exchange.id);
  const answered = await findAnswer(gateway, exchange, { ...out, model, headers, stop });
  reply.hijack();
  if (answered === undefined) return; // the client is gone
  const { hideUsage } = out;
  const { idleMs } = gateway.options;
  await forward(exchange, { ...answered, client: reply.raw, hideUsage, stop, idleMs });
}

function stopOnHangUp(gateway: Gateway, client: ServerResponse): AbortController {
  const stop = new AbortController();
  gateway.running.add(stop);
  client.once("close", () => {
    gateway.running.delete(stop);
    if (!client.writableFinished) stop.abort(new Error("the client hung up"));
  });
  if (client.destroyed) stop.abort(new Error("the client hung up"));
  return stop;
}

/** The one line of a request. */
function logExchange({ log }: Gateway, exchange: Exchange, endedAt: number): void {
  const { id, path, asked, model, neuron, stream, attempts, status, errorCode, clientClosed, seen } =
    exchange;
  const { durationS, firstTokenS } = timingOf(exchange, endedAt);
  log[errorCode !== undefined && (status >= 500 || seen !== undefined) ? "warn" : "info"]("request", {
    ...{ id, path, model: model || asked?.slice(0, 200), neuron: neuron || undefined, status },
    ...{ stream: stream || undefined, attempts: attempts > 1 ? attempts : undefined },
    ...{ error: errorCode, client_closed: clientClosed || undefined },
    ms: round(durationS * 1000),
    first_token_ms: firstTokenS === undefined ? undefined : round(firstTokenS * 1000),
    prompt_tokens: seen?.usage?.promptTokens,
    completion_tokens: seen?.usage?.completionTokens,
    cached_tokens: seen?.usage?.cachedTokens,
  });
}

function round(ms: number): number {
  return Math.round(ms * 10) / 10;
}
