// GET /v1/models and /v1/models/{id}: OpenAI's shape, or Anthropic's for who speaks that.

import type { FastifyInstance } from "fastify";
import { modelItems } from "./catalogue.ts";
import { anthropicModel, anthropicModels } from "./dialects/anthropic-models.ts";
import { speaksAnthropic } from "./dialects/speaker.ts";
import { GatewayError } from "./errors.ts";
import type { Gateway } from "./gateway.ts";

export async function modelRoutes(app: FastifyInstance, { gateway }: { gateway: Gateway }): Promise<void> {
  const { fleet, models, startedAt } = gateway;
  const items = () => modelItems(fleet.neurons, models, Math.floor(startedAt / 1000));
  const createdAt = new Date(startedAt).toISOString();

  app.get<{ Querystring: Record<string, unknown> }>("/v1/models", async ({ url, headers, query }) => {
    if (speaksAnthropic(url, headers)) return anthropicModels(items(), createdAt, query);
    return { object: "list", data: items() };
  });

  app.get<{ Params: { "*": string } }>("/v1/models/*", async ({ url, headers, params }) => {
    const item = items().find(({ id }) => id === params["*"]);
    if (item) return speaksAnthropic(url, headers) ? anthropicModel(item, createdAt) : item;
    const message = `The model '${params["*"].slice(0, 200)}' does not exist.`;
    throw new GatewayError("model_not_found", message, "model");
  });
}
