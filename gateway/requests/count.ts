// How many tokens a prompt has: its neuron knows, for it has the model's template and tokenizer.

import { json } from "node:stream/consumers";
import type { FastifyReply, FastifyRequest } from "fastify";
import * as v from "valibot";
import { InputTokens } from "../../neuron/protocol.ts";
import { checkCaller } from "./admission.ts";
import { outgoing, readAsk } from "./ask.ts";
import { concreteId } from "../fleet/catalogue.ts";
import type { Canonical } from "../dialects/canonical.ts";
import { countBody } from "../dialects/chat.ts";
import { findAnswer } from "./dispatch.ts";
import { GatewayError } from "../errors.ts";
import { printed } from "./generate.ts";
import type { Gateway } from "../gateway.ts";
import { stopOnHangUp } from "./tracking.ts";
import { requestHeaders } from "../wire/upstream.ts";

/** Undefined when the client is gone. Throws what findAnswer throws, and upstream_failed. */
export function countTokens(
  gateway: Gateway,
  request: FastifyRequest,
  reply: FastifyReply,
  canonical: Canonical,
): Promise<number | undefined> {
  const body = (model: string) => printed(countBody(canonical, model));
  return count(gateway, request, reply, { asked: canonical.model, body });
}

/** The same of a chat completion as it came. */
export function countChat(
  gateway: Gateway,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<number | undefined> {
  const ask = readAsk(request.body as Buffer | undefined);
  const body = (model: string) => outgoing({ ...ask, stream: false }, model).body;
  return count(gateway, request, reply, { asked: ask.model, body });
}

async function count(
  gateway: Gateway,
  request: FastifyRequest,
  reply: FastifyReply,
  { asked, body }: { asked: string; body: (model: string) => Buffer | string },
): Promise<number | undefined> {
  const exchange = request.exchange!;
  exchange.asked = asked;
  const model = concreteId(gateway.models, asked);
  checkCaller(gateway, request, model);
  const answered = await findAnswer(gateway, exchange, {
    ...{ path: "/v1/chat/completions/input_tokens", model, affinity: undefined },
    body: body(model),
    headers: requestHeaders(request.headers, exchange),
    stop: stopOnHangUp(gateway, reply.raw),
  });
  if (answered === undefined) return undefined;
  try {
    return v.parse(InputTokens, await json(answered.answer.body)).input_tokens;
  } catch (cause) {
    const message = "The neuron with this model gave no valid answer.";
    throw new GatewayError("upstream_failed", message, null, { cause });
  } finally {
    answered.release();
  }
}
