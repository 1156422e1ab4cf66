// The API on one Fastify instance, and the metrics on another: routes, and errors in one shape.

import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import Fastify from "fastify";
import { modelItems } from "./catalogue.ts";
import { completionRoutes } from "./completions.ts";
import { envelope, GatewayError, toGatewayError } from "./errors.ts";
import type { Gateway } from "./gateway.ts";
import { fleetHealth } from "./health.ts";
import type { Metrics } from "./metrics.ts";
import { NeuronRefusal } from "./upstream.ts";

export async function openApp(gateway: Gateway): Promise<FastifyInstance> {
  const app = Fastify({
    bodyLimit: gateway.options.bodyLimitBytes,
    forceCloseConnections: true, // closed only once requests have ended or been ended
    frameworkErrors: (error, request, reply) => answerError(gateway, error, request, reply),
    routerOptions: { maxParamLength: 1024 },
  });
  // Bodies stay bytes: they are forwarded as they came, whatever content type a client claims for its JSON.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", { parseAs: "buffer" }, (_request, body, done) => done(null, body));
  app.decorateRequest("exchange", null);
  app.setErrorHandler((error, request, reply) => answerError(gateway, error, request, reply));
  app.setNotFoundHandler(({ method, url }) => {
    throw new GatewayError("not_found", `There is no ${method} ${url.slice(0, 200)} here.`);
  });
  await app.register(completionRoutes, { gateway });
  await app.register(statusRoutes, { gateway });
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

async function statusRoutes(app: FastifyInstance, { gateway }: { gateway: Gateway }): Promise<void> {
  const { fleet, models, version, startedAt } = gateway;
  const items = () => modelItems(fleet.neurons, models, Math.floor(startedAt / 1000));
  const health = async () => fleetHealth(fleet, { version, uptimeS: (Date.now() - startedAt) / 1000 });
  app.get("/", health);
  app.get("/health", health);
  app.get("/v1/models", async () => ({ object: "list", data: items() }));
  app.get<{ Params: { "*": string } }>("/v1/models/*", async ({ params }) => {
    const item = items().find(({ id }) => id === params["*"]);
    if (item) return item;
    throw new GatewayError(
      "model_not_found",
      `The model '${params["*"].slice(0, 200)}' does not exist.`,
      "model",
    );
  });
}

function answerError(gateway: Gateway, thrown: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const error = thrown instanceof NeuronRefusal ? thrown : toGatewayError(thrown);
  if (request.exchange) request.exchange.errorCode = error.code;
  if (error instanceof NeuronRefusal) {
    if (error.retryAfter !== undefined) reply.header("retry-after", error.retryAfter);
    reply.code(error.status).type("application/json").send(error.body);
    return;
  }
  if (error.code === "internal") gateway.log.error("internal error", { reason: stackOf(thrown) });
  const { status, retryAfterS } = error.kind;
  if (retryAfterS !== undefined) reply.header("retry-after", retryAfterS);
  reply
    .code(status)
    .type("application/json")
    .send(JSON.stringify(envelope(error)));
}

function stackOf(thrown: unknown): string {
  return thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
}
