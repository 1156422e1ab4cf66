// From a routed request to a neuron's answer: a model that is not there is brought first, and until a byte of an answer
// has gone to the client, a failed neuron is replaced.

import { GatewayError } from "../errors.ts";
import type { Exchange } from "../telemetry/exchange.ts";
import type { Gateway } from "../gateway.ts";
import { faultOf } from "../fleet/neuron-client.ts";
import { refusalOf } from "./refusal.ts";
import { route, serves } from "../fleet/router.ts";
import { askServer } from "../servers/exchange.ts";
import type { Stop } from "../wire/stop.ts";
import type { Answer, NeuronRefusal, UpstreamRequest } from "../wire/upstream.ts";
import { isFault, isRetryable, readRefusal, send } from "../wire/upstream.ts";
import { bringModel, isLost } from "./waiting.ts";

const mostAttempts = 3;
/** For a model that is brought, and gone again before the request gets to it. */
const mostWaits = 3;

export interface Sending extends Pick<UpstreamRequest, "path" | "body" | "headers"> {
  /** The concrete id. */
  model: string;
  /** Requests of one conversation have the same. */
  affinity: string | undefined;
  /** Aborted by the client's hang-up, or with a GatewayError that ends the request. */
  stop: Stop;
}

export interface Answered {
  /** A 2xx with its body still to come. */
  answer: Answer;
  /** Takes the request off the neuron's count. */
  release: () => void;
}

/**
 * The first good answer; undefined when the client went away meanwhile. Throws the last neuron's refusal, or why
 * there is no neuron to ask.
 */
export async function findAnswer(
  gateway: Gateway,
  exchange: Exchange,
  sending: Sending,
): Promise<Answered | undefined> {
  const { fleet, models, log, breakers } = gateway;
  const tried = new Set<string>();
  let failure: NeuronRefusal | GatewayError | undefined;
  let waits = 0;
  for (let attempts = 1; attempts <= mostAttempts;) {
    const shut = breakers.shut(fleet.neurons.map(({ name }) => name));
    const barred = new Set([...tried, ...shut]);
    const choosing = exchange.trace?.phase("route");
    const decision = route(fleet.neurons, sending.model, barred, sending.affinity);
    choosing?.end();
    if (decision.kind !== "send") {
      if (failure && isLost(failure) && (await hasLost(gateway, exchange))) {
        tried.delete(exchange.neuron); // it may well have the model again
        barred.delete(exchange.neuron);
      }
      if (waits++ === mostWaits)
        throw failure ?? refusalOf(decision, sending.model, { neurons: fleet.neurons, models });
      const bringing = exchange.trace?.phase("load", { "gen_ai.request.model": sending.model });
      try {
        if (await bringModel(gateway, exchange, sending, { decision, barred, failure })) continue;
        return undefined;
      } finally {
        bringing?.end();
      }
    }
    const { neuron, url } = decision;
    if (waits > 0 && attempts === 1) gateway.residency.journal.coldStart(sending.model, neuron);
    tried.add(neuron);
    Object.assign(exchange, { model: sending.model, neuron, attempts: attempts++ });
    const answered = await ask(gateway, exchange, sending, { neuron, url });
    exchange.answered = answered !== undefined && !(answered instanceof Error);
    if (answered !== undefined && !(answered instanceof Error)) return answered;
    judge(gateway, neuron, answered?.code);
    if (answered === undefined) return undefined;
    failure = answered;
    if (!isRetryable(failure)) break;
    log.warn("neuron failed a request", { id: exchange.id, neuron, reason: reasonOf(failure) });
    gateway.nudge(neuron);
  }
  throw failure;
}

/** One neuron's answer, counted and traced until it is released; else as `attempt`. */
async function ask(
  gateway: Gateway,
  exchange: Exchange,
  sending: Sending,
  { neuron, url }: { neuron: string; url: string },
): Promise<Answered | NeuronRefusal | GatewayError | undefined> {
  const claimed = gateway.fleet.claim(neuron, sending.model);
  const phase = exchange.trace?.phase("neuron", { "cortex.neuron": neuron });
  gateway.breakers.sent(neuron);
  const traced = phase ? { ...sending, headers: { ...sending.headers, ...phase.headers } } : sending;
  const answer = await attempt(gateway, traced, neuron, url);
  const isAnswer = answer !== undefined && !(answer instanceof Error);
  const release = () => {
    claimed();
    phase?.end(isAnswer ? exchange.errorCode : answer?.code);
  };
  if (isAnswer) return { answer, release };
  release();
  return answer;
}

/** True when the neuron that was asked last does not claim to have the model any more. */
async function hasLost({ fleet, refresh }: Gateway, { neuron, model }: Exchange): Promise<boolean> {
  await refresh(neuron);
  return fleet.has(neuron) && !serves(fleet.neuron(neuron), model);
}

/** Asks one neuron: its answer, or why there is none; undefined when the client is gone. Never throws. */
async function attempt(
  { dispatcher, options, servers }: Gateway,
  { path, body, headers, model, stop }: Sending,
  neuron: string,
  url: string,
): Promise<Answer | NeuronRefusal | GatewayError | undefined> {
  const timer = setTimeout(() => stop.abort(tooLate()), options.responseTimeoutMs);
  const request = { url, path, headers, body, stop };
  try {
    const server = servers.get(neuron);
    if (server) return await askServer(dispatcher, server, model, request);
    const answer = await send(dispatcher, request);
    return answer.statusCode >= 200 && answer.statusCode < 300 ? answer : await readRefusal(answer);
  } catch (cause) {
    const { reason } = stop;
    if (stop.stopped) return reason instanceof GatewayError ? reason : undefined;
    return new GatewayError("upstream_unreachable", "The neuron did not answer.", null, { cause });
  } finally {
    clearTimeout(timer);
  }
}

/** What the end of a request tells of its neuron; `code` is why it failed, undefined where nobody can say. */
export function judge({ breakers, log }: Gateway, neuron: string, code: string | undefined): void {
  if (!isFault(code)) return breakers.dropped(neuron);
  if (breakers.failed(neuron)) log.warn("neuron is left alone for a while", { neuron, reason: code });
}

function tooLate(): GatewayError {
  return new GatewayError("upstream_timeout", "The neuron took too long to answer.");
}

function reasonOf(failure: NeuronRefusal | GatewayError): string {
  return failure.cause === undefined ? failure.message : faultOf(failure.cause);
}
