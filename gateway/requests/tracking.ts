// Every request from its arrival to the last byte of its answer: counted and logged once, however it ends, and stopped
// when its client goes away.

import type { ServerResponse } from "node:http";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { settleExchange } from "./admission.ts";
import { speaksAnthropic } from "../dialects/speaker.ts";
import { judge } from "./dispatch.ts";
import { GatewayError } from "../errors.ts";
import type { Exchange } from "../telemetry/exchange.ts";
import { openExchange, timingOf } from "../telemetry/exchange.ts";
import type { Gateway } from "../gateway.ts";
import { Stop } from "../wire/stop.ts";

declare module "fastify" {
  interface FastifyRequest {
    exchange: Exchange | null;
  }
}

/** For the routes of this plugin that are registered after it. */
export function trackExchanges(app: FastifyInstance, gateway: Gateway): void {
  app.addHook("onRequest", async (request, reply) => {
    request.exchange = begin(gateway, request, reply);
    if (gateway.draining) throw new GatewayError("shutting_down", "The gateway is shutting down.");
  });
}

function begin(gateway: Gateway, request: FastifyRequest, reply: FastifyReply): Exchange {
  const exchange = openExchange(request.routeOptions.url ?? "", request.headers["x-request-id"]);
  const client = reply.raw;
  exchange.trace = gateway.traces?.begin(request.method, exchange.path, request.headers);
  gateway.traffic.begin(exchange);
  reply.header("x-request-id", exchange.id);
  if (speaksAnthropic(request.url, request.headers)) reply.header("request-id", exchange.id);
  client.once("close", () => {
    exchange.ended = true;
    exchange.clientClosed = !client.writableFinished && exchange.errorCode === undefined;
    if (client.headersSent) exchange.status = client.statusCode;
    const endedAt = performance.now();
    gateway.traffic.end(exchange);
    gateway.metrics.record(exchange, endedAt);
    settleExchange(gateway, request);
    judgeNeuron(gateway, exchange);
    exchange.trace?.end(exchange);
    logExchange(gateway, exchange, endedAt);
  });
  return exchange;
}

/** An answer that came to its end shows that its neuron is well. */
function judgeNeuron(gateway: Gateway, { answered, neuron, errorCode, clientClosed }: Exchange): void {
  if (!answered) return;
  if (errorCode !== undefined || clientClosed) judge(gateway, neuron, errorCode);
  else if (gateway.breakers.succeeded(neuron)) gateway.log.info("neuron is asked again", { neuron });
}

/** Aborts when the client hangs up before its answer is whole; until then the gateway knows the request as running. */
export function stopOnHangUp(gateway: Gateway, client: ServerResponse): Stop {
  const stop = new Stop();
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
  const { id, path, principal, asked, model, neuron, stream, attempts, status } = exchange;
  const { errorCode, clientClosed, seen } = exchange;
  const { durationS, firstTokenS } = timingOf(exchange, endedAt);
  const isBad = errorCode !== undefined && (status >= 500 || seen !== undefined);
  log[isBad ? "warn" : "info"]("request", {
    id,
    path,
    principal,
    model: model || asked?.slice(0, 200),
    neuron: neuron || undefined,
    status,
    stream: stream || undefined,
    attempts: attempts > 1 ? attempts : undefined,
    error: errorCode,
    client_closed: clientClosed || undefined,
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
