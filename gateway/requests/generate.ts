// A canonical request to a neuron, and its answer to the client in the client's dialect, streamed or whole. Refusals
// are plain HTTP as long as nothing has gone out; a stream that waits long for its neuron is opened meanwhile and kept
// alive, and what goes wrong then is told within it.

import type { FastifyReply, FastifyRequest } from "fastify";
import { admitRequest } from "./admission.ts";
import { newId } from "../ids.ts";
import { concreteId } from "../fleet/catalogue.ts";
import type { Canonical, Encoder, Failure } from "../dialects/canonical.ts";
import { chatBody } from "../dialects/chat.ts";
import { openAiError } from "../dialects/failures.ts";
import type { Answered, Sending } from "./dispatch.ts";
import { findAnswer } from "./dispatch.ts";
import { GatewayError } from "../errors.ts";
import type { Exchange } from "../telemetry/exchange.ts";
import { failureOf } from "./failure.ts";
import type { Gateway } from "../gateway.ts";
import { relay } from "../wire/relay.ts";
import type { Stop } from "../wire/stop.ts";
import { stopOnHangUp } from "./tracking.ts";
import { toText, Transcoder } from "./transcoder.ts";
import { NeuronRefusal, requestHeaders } from "../wire/upstream.ts";
import { progressComment } from "./waiting.ts";

export interface Task {
  request: Canonical;
  stream: boolean;
  affinity: string | undefined;
  encoder: Encoder;
  /** Done with the whole answer before the client hears of its end. */
  settle?: (whole: object) => Promise<void>;
}

export async function generate(
  gateway: Gateway,
  request: FastifyRequest,
  reply: FastifyReply,
  task: Task,
): Promise<unknown> {
  const exchange = request.exchange!;
  exchange.asked = task.request.model;
  exchange.stream = task.stream;
  exchange.bodyBytes = (request.body as Buffer).length;
  const model = concreteId(gateway.models, task.request.model);
  await admitRequest(gateway, request, model);
  const sending: Sending = {
    ...{ path: "/v1/chat/completions", model, affinity: task.affinity },
    body: printed(chatBody(task.request, model)),
    headers: requestHeaders(request.headers, exchange),
    stop: stopOnHangUp(gateway, reply.raw),
  };
  const finding = findAnswer(gateway, exchange, sending);
  const running: Running = { gateway, exchange, reply, task, stop: sending.stop, finding };
  return task.stream ? answerInEvents(running) : answerWhole(running);
}

/** As JSON; what is nested deeper than the stack is deep is no request. */
export function printed(body: object): string {
  try {
    return JSON.stringify(body);
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new GatewayError("invalid_request_body", "The request is nested too deeply.", null, { cause });
  }
}

interface Running {
  gateway: Gateway;
  exchange: Exchange;
  reply: FastifyReply;
  task: Task;
  stop: Stop;
  finding: Promise<Answered | undefined>;
}

async function answerWhole(running: Running): Promise<unknown> {
  const { exchange, reply, task, finding } = running;
  const answered = await finding;
  if (answered === undefined) return reply.hijack(); // the client is gone
  const transcoder = openTranscoder(running);
  const unsent = {
    push: (chunk: Buffer) => (transcoder.push(chunk), ""),
    end: () => (transcoder.end(), ""),
  };
  try {
    await pass(running, answered, unsent);
  } catch {
    throw reasonOf(running.stop);
  }
  if (reply.raw.destroyed) return reply.hijack();
  if (transcoder.failure) throw asRefusal(transcoder.failure);
  await task.settle?.(task.encoder.whole());
  reply.header("x-cortex-neuron", exchange.neuron);
  return reply.type("application/json").send(JSON.stringify(task.encoder.whole()));
}

async function answerInEvents(running: Running): Promise<unknown> {
  const { gateway, exchange, reply, task, finding } = running;
  const { keepaliveMs } = gateway.options;
  if ((await settled(finding, keepaliveMs)) && (await finding) === undefined) return reply.hijack();
  const { client, keepalive } = openStream(running);
  const transcoder = openTranscoder(running);
  const sent = {
    push: (chunk: Buffer) => {
      const text = transcoder.push(chunk);
      if (text !== "") keepalive.refresh();
      return text;
    },
    end: () => transcoder.end(),
  };
  try {
    const answered = await finding;
    if (answered === undefined) return reply;
    const rest = await pass(running, answered, sent);
    if (client.destroyed) return reply;
    if (rest.length > 0) client.write(rest);
    exchange.errorCode = transcoder.failure?.code;
    if (transcoder.finished) await task.settle?.(task.encoder.whole());
    client.end(transcoder.lastWords());
  } catch (error) {
    breakOff(running, error);
  } finally {
    clearInterval(keepalive);
  }
  return reply;
}

/** Hijacks the reply: status, headers and the first frames go out, and from now on something at least every so often. */
function openStream({ gateway, exchange, reply, task }: Running) {
  reply.hijack();
  const client = reply.raw;
  for (const [name, value] of Object.entries(reply.getHeaders()))
    if (value !== undefined) client.setHeader(name, value);
  if (exchange.neuron !== "") client.setHeader("x-cortex-neuron", exchange.neuron);
  client.writeHead(200, {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-accel-buffering": "no", // proxies in front must not collect the stream
  });
  client.flushHeaders();
  const opening = toText(task.encoder.open());
  if (opening !== "") client.write(opening);
  const keepalive = setInterval(() => {
    if (client.writableNeedDrain || client.writableEnded) return;
    client.write(progressComment(gateway, exchange) + toText(task.encoder.keepalive()));
  }, gateway.options.keepaliveMs);
  return { client, keepalive };
}

function openTranscoder({ exchange, task }: Running): Transcoder {
  const transcoder = new Transcoder(task.encoder, newId);
  exchange.seen = transcoder.seen;
  return transcoder;
}

async function pass(
  { gateway, reply, stop }: Running,
  { answer, release }: Answered,
  reading: Parameters<typeof relay>[2],
): Promise<Buffer | string> {
  const onIdle = () =>
    stop.abort(new GatewayError("upstream_timeout", "The neuron fell silent in the middle of its answer."));
  try {
    return await relay(answer.body, reply.raw, reading, { ms: gateway.options.idleMs, onIdle });
  } finally {
    release();
  }
}

/** The stream is open: the error is its last event. */
function breakOff(running: Running, error: unknown): void {
  const { gateway, exchange, reply, task, stop } = running;
  if (reply.raw.destroyed) return; // the client left first
  const refused = error instanceof GatewayError || error instanceof NeuronRefusal;
  const failure = failureOf(refused ? error : reasonOf(stop));
  if (!refused && !stop.stopped)
    gateway.log.debug("answer broken off", { id: exchange.id, reason: String(error) });
  exchange.errorCode = failure.code;
  reply.raw.end(toText(task.encoder.event({ type: "failed", failure })));
}

/** Why a neuron's answer ended before its end. */
function reasonOf({ reason }: Stop): GatewayError {
  if (reason instanceof GatewayError) return reason;
  return new GatewayError("upstream_interrupted", "The neuron broke off in the middle of its answer.");
}

/** A failure told within a neuron's stream, to a client that has heard nothing yet. */
function asRefusal(failure: Failure): NeuronRefusal {
  return new NeuronRefusal(failure.status, failure.code, Buffer.from(JSON.stringify(openAiError(failure))));
}

/** True when the promise has settled within that time; rejects as it does. */
export async function settled(promise: Promise<unknown>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => (timer = setTimeout(() => resolve(false), ms)));
  try {
    return await Promise.race([promise.then(() => true), late]);
  } finally {
    clearTimeout(timer);
  }
}
