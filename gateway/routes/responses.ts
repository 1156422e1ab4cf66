// OpenAI's Responses: POST /v1/responses and what can be done with the responses that were stored.

import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { readJson } from "../requests/ask.ts";
import { countTokens } from "../requests/count.ts";
import { affinityOf } from "../dialects/affinity.ts";
import { check, invalid, unsupported } from "../dialects/check.ts";
import type { Response } from "../dialects/responses-answer.ts";
import { responsesEncoder } from "../dialects/responses-answer.ts";
import { InputTokensBody, ResponsesBody } from "../dialects/responses-body.ts";
import { toRequest } from "../dialects/responses-request.ts";
import type { Stored } from "../dialects/responses-stored.ts";
import { listItems, toStored } from "../dialects/responses-stored.ts";
import { GatewayError } from "../errors.ts";
import type { Gateway } from "../gateway.ts";
import { generate } from "../requests/generate.ts";
import { newId } from "../ids.ts";
import type { Log } from "../telemetry/log.ts";
import type { StoredResponses } from "../requests/stored-responses.ts";
import { trackExchanges } from "../requests/tracking.ts";

interface ById {
  Params: { id: string };
  Querystring: Record<string, unknown>;
}

export async function responsesRoutes(
  app: FastifyInstance,
  { gateway }: { gateway: Gateway },
): Promise<void> {
  const own = ({ caller }: FastifyRequest) => gateway.responses.of(caller?.id);
  trackExchanges(app, gateway);

  app.post("/v1/responses", (request, reply) => respond(gateway, request, reply));

  app.post("/v1/responses/input_tokens", async (request, reply) => {
    const body = check(InputTokensBody, readJson(request.body)) as ResponsesBody;
    const canonical = toRequest(body, await own(request).recall(body));
    const input_tokens = await countTokens(gateway, request, reply, canonical);
    return input_tokens === undefined ? reply.hijack() : { object: "response.input_tokens", input_tokens };
  });

  app.get("/v1/responses", async ({ headers }, reply) => {
    if (headers.upgrade === undefined)
      throw new GatewayError("not_found", "There is no list of responses; POST makes one.");
    // Codex tries this first, and on this very status goes on by HTTP at once.
    reply.header("upgrade", "HTTP/1.1").header("connection", "upgrade");
    throw new GatewayError("upgrade_required", "Responses are not served over WebSocket; use HTTP.");
  });

  app.get<ById>("/v1/responses/:id", async (request) => {
    if (request.query.stream === "true") throw unsupported("stream", true);
    return (await own(request).get(request.params.id)).response;
  });

  app.delete<ById>("/v1/responses/:id", async (request) => {
    const { id } = request.params;
    await own(request).delete(id);
    return { id, object: "response", deleted: true };
  });

  app.post<ById>("/v1/responses/:id/cancel", async (request) => {
    await own(request).get(request.params.id);
    throw invalid("background", "Cannot cancel a response that was not created with background set to true.");
  });

  app.get<ById>("/v1/responses/:id/input_items", async (request) => {
    const { query } = request;
    const { order = "desc", after } = query;
    const limit = query.limit === undefined ? 20 : Number(query.limit);
    if (!Number.isInteger(limit) || limit < 1 || limit > 100) throw invalid("limit", "expected 1 to 100");
    if (order !== "asc" && order !== "desc") throw invalid("order", "expected asc or desc");
    const stored = await own(request).get(request.params.id);
    return listItems(stored, { limit, order, after: after === undefined ? undefined : String(after) });
  });
}

async function respond(gateway: Gateway, request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
  const body = check(ResponsesBody, readJson(request.body));
  const own = gateway.responses.of(request.caller?.id);
  const recalled = await own.recall(body);
  const canonical = toRequest(body, recalled);
  const id = newId("resp_");
  const now = () => Math.floor(Date.now() / 1000);
  const encoder = responsesEncoder({ id, createdAt: now(), now, request: body });
  const affinity = affinityOf(request.headers, body) ?? recalled.affinity ?? id;
  return generate(gateway, request, reply, {
    ...{ request: canonical, stream: body.stream ?? false, affinity, encoder },
    ...(body.store !== false && {
      settle: (whole: object) =>
        keep(own, gateway.log, toStored({ body, affinity }, recalled.items, whole as Response)),
    }),
  });
}

/** A store that is away costs the memory of a response, not the response, which then says that it was not stored. */
async function keep(responses: StoredResponses, log: Log, stored: Stored): Promise<void> {
  try {
    await responses.keep(stored);
  } catch (error) {
    stored.response.store = false;
    log.warn("response not stored", { id: stored.response.id, reason: String(error) });
  }
}
