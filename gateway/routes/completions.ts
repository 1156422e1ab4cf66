// POST /v1/chat/completions, /v1/completions and /v1/embeddings: read the model, find a neuron's answer, forward it. And
// how many tokens a chat's prompt has, as a neuron is asked it: a gateway may stand among the servers of another.

import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { admitRequest } from "../requests/admission.ts";
import { countChat } from "../requests/count.ts";
import { outgoing, readAsk } from "../requests/ask.ts";
import { concreteId } from "../fleet/catalogue.ts";
import { affinityOf } from "../dialects/affinity.ts";
import { findAnswer } from "../requests/dispatch.ts";
import { forward } from "../requests/forward.ts";
import type { Gateway } from "../gateway.ts";
import { settled } from "../requests/generate.ts";
import { openLate } from "../requests/late-stream.ts";
import { stopOnHangUp, trackExchanges } from "../requests/tracking.ts";
import { requestHeaders } from "../wire/upstream.ts";

export async function completionRoutes(
  app: FastifyInstance,
  { gateway }: { gateway: Gateway },
): Promise<void> {
  trackExchanges(app, gateway);
  for (const path of ["/v1/chat/completions", "/v1/completions", "/v1/embeddings"])
    app.post(path, (request, reply) => complete(gateway, request, reply));
  app.post("/v1/chat/completions/input_tokens", async (request, reply) => {
    const input_tokens = await countChat(gateway, request, reply);
    return input_tokens === undefined ? reply.hijack() : { input_tokens };
  });
}

async function complete(gateway: Gateway, request: FastifyRequest, reply: FastifyReply): Promise<void> {
  const exchange = request.exchange!;
  const ask = readAsk(request.body as Buffer | undefined);
  exchange.asked = ask.model;
  exchange.stream = ask.stream;
  exchange.bodyBytes = ask.body.length;
  const model = concreteId(gateway.models, ask.model);
  await admitRequest(gateway, request, model);
  const { body, hideUsage } = outgoing(ask, model);
  const { path } = exchange;
  const affinity = affinityOf(request.headers, ask);
  const stop = stopOnHangUp(gateway, reply.raw);
  const headers = requestHeaders(request.headers, exchange);
  const finding = findAnswer(gateway, exchange, { path, body, model, headers, affinity, stop });
  const { idleMs, keepaliveMs } = gateway.options;
  const isLate = ask.stream && !(await settled(finding, keepaliveMs));
  if (!isLate) await finding; // while it still may be refused
  reply.hijack();
  const answered = await (isLate ? openLate({ gateway, exchange, client: reply.raw, finding }) : finding);
  if (answered === undefined) return; // the client is gone, or knows why there is no answer
  await forward(exchange, { ...answered, client: reply.raw, hideUsage, stop, idleMs });
}
