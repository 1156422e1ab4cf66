// Anthropic's Messages: POST /v1/messages and /v1/messages/count_tokens.

import type { FastifyInstance } from "fastify";
import { readJson } from "./ask.ts";
import { countTokens } from "./count.ts";
import { affinityOf } from "./dialects/affinity.ts";
import { check } from "./dialects/check.ts";
import { messagesEncoder, thoughtsOf } from "./dialects/messages-answer.ts";
import { CountBody, MessagesBody } from "./dialects/messages-body.ts";
import { toCount, toRequest } from "./dialects/messages-request.ts";
import type { Gateway } from "./gateway.ts";
import { generate } from "./generate.ts";
import { newId } from "./ids.ts";
import { trackExchanges } from "./tracking.ts";

export async function messagesRoutes(app: FastifyInstance, { gateway }: { gateway: Gateway }): Promise<void> {
  trackExchanges(app, gateway);

  app.post("/v1/messages", async (request, reply) => {
    const body = check(MessagesBody, readJson(request.body));
    const encoder = messagesEncoder({
      ...{ id: newId("msg_"), model: body.model, requestId: request.exchange!.id },
      thoughts: thoughtsOf(body.thinking),
      contextManagement: Boolean(body.context_management),
    });
    const affinity = affinityOf(request.headers, body);
    return generate(gateway, request, reply, {
      ...{ request: toRequest(body), stream: body.stream ?? false, affinity, encoder },
    });
  });

  app.post("/v1/messages/count_tokens", async (request, reply) => {
    const body = check(CountBody, readJson(request.body));
    const input_tokens = await countTokens(gateway, request, reply, toCount(body));
    return input_tokens === undefined ? reply.hijack() : { input_tokens };
  });
}
