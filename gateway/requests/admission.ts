// A request's way through its key's limits: admitted once its model is known and before anything is sent, charged when it
// has ended, however it ended.

import type { FastifyRequest } from "fastify";
import type { Usage as Tokens } from "../wire/answer.ts";
import { checkModel } from "../keys/auth.ts";
import { concreteId } from "../fleet/catalogue.ts";
import type { Exchange } from "../telemetry/exchange.ts";
import type { Gateway } from "../gateway.ts";
import { anonymous } from "../keys/keys.ts";

/** Throws permission_denied and rate_limit_exceeded. `model` is a concrete id. */
export async function admitRequest(gateway: Gateway, request: FastifyRequest, model: string): Promise<void> {
  const { caller } = request;
  if (caller === null) return;
  const exchange = request.exchange!;
  checkCaller(gateway, request, model);
  const stay = await gateway.ledger.enter(caller);
  if (exchange.ended)
    stay.leave(0); // the client went away meanwhile
  else exchange.stay = stay;
}

/** For what costs no tokens. Throws permission_denied. */
export function checkCaller({ models }: Gateway, { caller }: FastifyRequest, model: string): void {
  if (caller !== null) checkModel(caller, model, (name) => concreteId(models, name));
}

/** Charges an exchange that has ended. */
export function settleExchange(gateway: Gateway, request: FastifyRequest): void {
  const { usage, door, metrics } = gateway;
  const exchange = request.exchange!;
  const tokens = tokensOf(gateway, exchange);
  exchange.stay?.leave(tokens.promptTokens + tokens.completionTokens);
  if (door.mode === "off" || exchange.status === 401) return;
  usage.add(request.caller?.id ?? anonymous, {
    ...{ requests: 1, errors: exchange.errorCode === undefined ? 0 : 1 },
    ...{ prompt_tokens: tokens.promptTokens, completion_tokens: tokens.completionTokens },
    cached_tokens: tokens.cachedTokens,
  });
  metrics.recordKey(request.caller?.name ?? anonymous, tokens, exchange.errorCode);
}

/**
 * What an exchange used. Where its neuron did not say, or the client left before it could, an estimate: nobody gets
 * tokens for nothing by hanging up. About four bytes are a token, and a prompt is no longer than its model's context.
 */
function tokensOf({ fleet }: Gateway, { seen, bodyBytes, model, neuron }: Exchange): Tokens {
  if (seen === undefined) return { promptTokens: 0, completionTokens: 0, cachedTokens: 0 };
  const { usage, deltas } = seen;
  const view = fleet.neurons.find(({ name }) => name === neuron)?.models.find(({ id }) => id === model);
  const estimate = Math.min(Math.ceil(bodyBytes / 4), view?.limit?.context ?? Infinity);
  return {
    promptTokens: usage?.promptTokens ?? estimate,
    completionTokens: usage?.completionTokens || deltas,
    cachedTokens: usage?.cachedTokens ?? 0,
  };
}
