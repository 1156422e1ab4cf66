// The API on one Fastify instance, and the metrics on another: routes, and errors in one shape.

import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import Fastify from "fastify";
import { guardRoutes, isAdmin } from "./keys/auth.ts";
import { completionRoutes } from "./routes/completions.ts";
import { anthropicError, openAiError } from "./dialects/failures.ts";
import { speaksAnthropic } from "./dialects/speaker.ts";
import { GatewayError, toGatewayError } from "./errors.ts";
import { comeAgain, failureOf } from "./requests/failure.ts";
import { fleetReport } from "./fleet/report.ts";
import { fleetRoutes } from "./routes/fleet.ts";
import type { Gateway } from "./gateway.ts";
import { fleetHealth } from "./fleet/health.ts";
import { newId } from "./ids.ts";
import { messagesRoutes } from "./routes/messages.ts";
import type { Metrics } from "./telemetry/metrics.ts";
import { modelRoutes } from "./routes/models.ts";
import { gatewayApi } from "./routes/openapi.ts";
import { operatorRoutes } from "./routes/operator.ts";
import { pageRoutes, sendPage, wantsPage } from "./page/page.ts";
import { responsesRoutes } from "./routes/responses.ts";
import { NeuronRefusal } from "./wire/upstream.ts";

/** A request that is not here by then is not on its way; its answer may take any time. */
const slowestRequestMs = 300_000;

export async function openApp(gateway: Gateway): Promise<FastifyInstance> {
  const app = Fastify({
    bodyLimit: gateway.options.bodyLimitBytes,
    forceCloseConnections: true, // closed only once requests have ended or been ended
    frameworkErrors: (error, request, reply) => answerError(gateway, error, request, reply),
    routerOptions: { maxParamLength: 1024 },
    requestTimeout: slowestRequestMs,
  });
  // Bodies stay bytes: they are forwarded as they came, whatever content type a client claims for its JSON.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", { parseAs: "buffer" }, (_request, body, done) => done(null, body));
  app.decorateRequest("exchange", null);
  app.setErrorHandler((error, request, reply) => answerError(gateway, error, request, reply));
  guardRoutes(app, gateway.door);
  app.setNotFoundHandler(({ method, url }) => {
    throw new GatewayError("not_found", `There is no ${method} ${url.slice(0, 200)} here.`);
  });
  await app.register(completionRoutes, { gateway });
  await app.register(messagesRoutes, { gateway });
  await app.register(responsesRoutes, { gateway });
  await app.register(modelRoutes, { gateway });
  await app.register(statusRoutes, { gateway });
  await app.register(operatorRoutes, { gateway });
  await app.register(fleetRoutes, { gateway });
  if (gateway.page) await app.register(pageRoutes, { page: gateway.page });
  return app;
}

export async function openMetricsApp(metrics: Metrics): Promise<FastifyInstance> {
  const app = Fastify({ forceCloseConnections: true });
  app.get("/metrics", async (_request, reply) => {
    reply.type(metrics.registry.contentType);
    return metrics.registry.metrics();
  });
  return app;
}

/** A page that asks for a key must come up without one; health is what load balancers look at. */
const open = { config: { access: "open" as const } };

async function statusRoutes(app: FastifyInstance, { gateway }: { gateway: Gateway }): Promise<void> {
  const { fleet, models, version, startedAt, page, traffic, residency, breakers } = gateway;
  const uptimeS = () => (Date.now() - startedAt) / 1000;
  const circuitOf = (neuron: string) => breakers.stateOf(neuron);
  const health = ({ headers }: FastifyRequest) =>
    fleetHealth(fleet, {
      ...{ version, uptimeS: uptimeS(), circuitOf },
      tellsErrors: isAdmin(gateway.door, headers),
    });
  app.get("/", open, async (request, reply) => {
    reply.header("vary", "accept");
    return page && wantsPage(request) ? sendPage(page, request, reply) : health(request);
  });
  app.get("/health", open, async (request) => health(request));
  let api: object | undefined;
  app.get("/openapi.json", open, async () => (api ??= gatewayApi(version)));
  app.get("/api/fleet", async ({ headers }, reply) => {
    reply.header("cache-control", "no-store");
    const isPinned = (neuron: string, model: string) => residency.stays.isPinned(neuron, model);
    const loadable = residency.loadable();
    const now = { uptimeS: uptimeS(), traffic: traffic.report(), loadable, ...residency.report() };
    const tellsErrors = isAdmin(gateway.door, headers);
    return fleetReport(fleet, { version, models, isPinned, circuitOf, tellsErrors, ...now });
  });
}

function answerError(gateway: Gateway, thrown: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const error = thrown instanceof NeuronRefusal ? thrown : toGatewayError(thrown);
  if (request.exchange) request.exchange.errorCode = error.code;
  if (error.code === "internal") gateway.log.error("internal error", { reason: stackOf(thrown) });
  const failure = failureOf(error);
  const anthropic = speaksAnthropic(request.url, request.headers);
  // A neuron's own words in OpenAI's dialect may hold more than every dialect can tell.
  const openAi = () => (error instanceof NeuronRefusal ? error.body : JSON.stringify(openAiError(failure)));
  const id = request.exchange?.id ?? newId("req_");
  reply
    .code(failure.status)
    .headers(comeAgain(error))
    .type("application/json")
    .send(anthropic ? JSON.stringify(anthropicError(failure, id)) : openAi());
}

function stackOf(thrown: unknown): string {
  return thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
}
