// Anthropic's Messages: POST /v1/messages and /v1/messages/count_tokens.

import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { readJson } from "../requests/ask.ts";
import { countTokens } from "../requests/count.ts";
import { affinityOf } from "../dialects/affinity.ts";
import { check } from "../dialects/check.ts";
import { messagesEncoder, thoughtsOf } from "../dialects/messages-answer.ts";
import { CountBody, MessagesBody } from "../dialects/messages-body.ts";
import { toCount, toRequest } from "../dialects/messages-request.ts";
import type { Thread } from "../dialects/messages-thread.ts";
import { continued, previousMessage, toThread } from "../dialects/messages-thread.ts";
import type { Gateway } from "../gateway.ts";
import { generate } from "../requests/generate.ts";
import { newId } from "../ids.ts";
import type { StoredResponses } from "../requests/stored-responses.ts";
import type { Log } from "../telemetry/log.ts";
import { trackExchanges } from "../requests/tracking.ts";

export async function messagesRoutes(app: FastifyInstance, { gateway }: { gateway: Gateway }): Promise<void> {
  trackExchanges(app, gateway);

  app.post("/v1/messages", (request, reply) => answer(gateway, request, reply));

  app.post("/v1/messages/count_tokens", async (request, reply) => {
    const { body } = await recall(ownThreads(gateway, request), check(CountBody, readJson(request.body)));
    const input_tokens = await countTokens(gateway, request, reply, toCount(body));
    return input_tokens === undefined ? reply.hijack() : { input_tokens };
  });
}

async function answer(gateway: Gateway, request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
  const id = newId("msg_");
  const own = ownThreads(gateway, request);
  const { body, thread } = await recall(own, check(MessagesBody, readJson(request.body)));
  const encoder = messagesEncoder({
    ...{ id, model: body.model, requestId: request.exchange!.id },
    thoughts: thoughtsOf(body.thinking),
    contextManagement: Boolean(body.context_management),
  });
  const key = affinityOf(request.headers, body) ?? thread?.affinity;
  const affinity = body.thread ? (key ?? id) : key;
  return generate(gateway, request, reply, {
    ...{ request: toRequest(body), stream: body.stream ?? false, affinity, encoder },
    ...(body.thread && {
      settle: (whole: object) => keep(own, gateway.log, id, toThread(body, whole, affinity ?? id)),
    }),
  });
}

function ownThreads({ responses }: Gateway, { caller }: FastifyRequest): StoredResponses {
  return responses.of(caller?.id);
}

/** A turn of a thread with all that came before it. */
async function recall<B extends CountBody>(
  responses: StoredResponses,
  body: B,
): Promise<{ body: B; thread: Thread | undefined }> {
  const previous = previousMessage(body);
  if (previous === undefined) return { body, thread: undefined };
  const thread = await responses.thread(previous);
  return { body: continued(body, thread), thread };
}

/** A store that is away costs the memory of a message, not the message. */
async function keep(responses: StoredResponses, log: Log, id: string, thread: Thread): Promise<void> {
  try {
    await responses.keepThread(id, thread);
  } catch (error) {
    log.warn("message not stored", { id, reason: String(error) });
  }
}
