// From a routed request to a neuron's answer: until a byte has gone to the client, a failed neuron is replaced, once.

import type { Dispatcher } from "undici";
import { GatewayError } from "./errors.ts";
import type { Exchange } from "./exchange.ts";
import type { Gateway } from "./gateway.ts";
import { faultOf } from "./neuron-client.ts";
import { refusalOf } from "./refusal.ts";
import { route } from "./router.ts";
import type { NeuronRefusal, UpstreamRequest } from "./upstream.ts";
import { isRetryable, readRefusal, send } from "./upstream.ts";

const mostAttempts = 2;

export interface Sending extends Pick<UpstreamRequest, "path" | "body" | "headers"> {
  /** The concrete id. */
  model: string;
  /** Requests of one conversation have the same. */
  affinity: string | undefined;
  /** Aborted by the client's hang-up, or with a GatewayError that ends the request. */
  stop: AbortController;
}

export interface Answered {
  /** A 2xx with its body still to come. */
  answer: Dispatcher.ResponseData;
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
  const { fleet, models, log } = gateway;
  const tried = new Set<string>();
  let failure: NeuronRefusal | GatewayError | undefined;
  while (tried.size < mostAttempts) {
    const decision = route(fleet.neurons, sending.model, tried, sending.affinity);
    if (decision.kind !== "send")
      throw failure ?? refusalOf(decision, sending.model, { neurons: fleet.neurons, models });
    const { neuron, url } = decision;
    tried.add(neuron);
    Object.assign(exchange, { model: sending.model, neuron, attempts: tried.size });
    const release = fleet.claim(neuron, sending.model);
    const answer = await attempt(gateway, sending, url);
    if (answer !== undefined && !(answer instanceof Error)) return { answer, release };
    release();
    if (answer === undefined) return undefined;
    failure = answer;
    if (!isRetryable(failure)) break;
    log.warn("neuron failed a request", { id: exchange.id, neuron, reason: reasonOf(failure) });
    gateway.nudge(neuron);
  }
  throw failure;
}

/** Asks one neuron: its answer, or why there is none; undefined when the client is gone. Never throws. */
async function attempt(
  { dispatcher, options }: Gateway,
  { path, body, headers, stop }: Sending,
  url: string,
): Promise<Dispatcher.ResponseData | NeuronRefusal | GatewayError | undefined> {
  const timer = setTimeout(() => stop.abort(tooLate()), options.responseTimeoutMs);
  try {
    const answer = await send(dispatcher, { url, path, headers, body, signal: stop.signal });
    return answer.statusCode >= 200 && answer.statusCode < 300 ? answer : await readRefusal(answer);
  } catch (cause) {
    const reason: unknown = stop.signal.reason;
    if (stop.signal.aborted) return reason instanceof GatewayError ? reason : undefined;
    return new GatewayError("upstream_unreachable", "The neuron did not answer.", null, { cause });
  } finally {
    clearTimeout(timer);
  }
}

function tooLate(): GatewayError {
  return new GatewayError("upstream_timeout", "The neuron took too long to answer.");
}

function reasonOf(failure: NeuronRefusal | GatewayError): string {
  return failure.cause === undefined ? failure.message : faultOf(failure.cause);
}
