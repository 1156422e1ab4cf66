// The HTTP face of a neuron. Takes the engine as a parameter: nothing here opens a device or reads a setting.

import { randomUUID } from "node:crypto";
import { setMaxListeners } from "node:events";
import fastify from "fastify";
import type { FastifyInstance } from "fastify";
import type { Engine } from "../engine/serve/types.ts";
import { answerBadUrl, answerErrors } from "./answers.ts";
import { distinct, sumOfFigures, type MemoryFigures } from "./memory.ts";
import type { Log } from "./log.ts";
import { createMetrics } from "./metrics.ts";
import { embeddingRoutes } from "./embedding-routes.ts";
import { modelRoutes } from "./model-routes.ts";
import type { Models } from "./models.ts";
import { openAiRoutes } from "./openai-routes.ts";
import { statusRoutes } from "./status-routes.ts";

declare module "fastify" {
  interface FastifyInstance {
    /** Every route, e.g. `POST /models/load`. */
    routeList: string[];
  }
}

export interface ServerDeps {
  engine: Engine;
  models: Models;
  /** Of the device of that index. */
  memory: (index: number) => MemoryFigures;
  log: Log;
  /** Aborted when the daemon stops waiting for running requests. */
  stop: AbortSignal;
  /** Longest silence inside a stream, and longest wait for a client that does not read. */
  keepaliveMs: number;
  stallMs: number;
  bodyBytes: number;
}

export function buildServer(deps: ServerDeps): FastifyInstance {
  const app = fastify({
    logger: false,
    bodyLimit: deps.bodyBytes,
    genReqId: () => `req_${randomUUID().replaceAll("-", "")}`,
    routerOptions: { maxParamLength: 1024 },
    // While it closes, the routes themselves say shutting_down, in their own envelope.
    return503OnClosing: false,
    frameworkErrors: answerBadUrl,
    // A request may wait for its turn, and a load for its download, as long as the caller does.
    requestTimeout: 0,
  });
  const metrics = createMetrics(deps.models, () =>
    sumOfFigures(distinct(deps.engine.devices).map(({ index }) => deps.memory(index))),
  );
  app.decorate("routeList", []);
  app.addHook("onRoute", ({ method, url }) => {
    if (method !== "HEAD") app.routeList.push(`${String(method)} ${url}`);
  });
  app.addHook("onRequest", async (request, reply) => {
    reply.header("x-request-id", request.id);
  });
  deps.models.events.on("loaded", (entry, seconds) => metrics.load.observe({ model: entry.id }, seconds));
  // Every running request listens.
  setMaxListeners(0, deps.stop);
  answerErrors(app, deps.log, (code) => metrics.errors.inc({ code }));
  statusRoutes(app, { ...deps, metrics });
  modelRoutes(app, { models: deps.models });
  openAiRoutes(app, { ...deps, metrics });
  embeddingRoutes(app, { ...deps, metrics });
  return app;
}
