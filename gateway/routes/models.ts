// GET /v1/models and /v1/models/{id}: OpenAI's shape, or Anthropic's for who speaks that.

import type { FastifyInstance, FastifyRequest } from "fastify";
import { mayUse } from "../keys/auth.ts";
import { concreteId, modelItems } from "../fleet/catalogue.ts";
import { anthropicModel, anthropicModels } from "../dialects/anthropic-models.ts";
import { speaksAnthropic } from "../dialects/speaker.ts";
import { GatewayError } from "../errors.ts";
import type { Gateway } from "../gateway.ts";

/** How long a list waits for neurons that have not been heard yet, so that the first one after a start is not empty. */
const firstLookMs = 2000;

export async function modelRoutes(app: FastifyInstance, { gateway }: { gateway: Gateway }): Promise<void> {
  const { fleet, models, startedAt, residency } = gateway;
  const isHeard = () => fleet.neurons.every(({ state }) => state !== "starting");
  const items = async ({ caller }: FastifyRequest) => {
    await fleet.until(isHeard, new AbortController().signal, firstLookMs);
    return modelItems(fleet.neurons, models, Math.floor(startedAt / 1000), residency.loadable()).filter(
      ({ id }) =>
        caller === null || mayUse(caller, concreteId(models, id), (name) => concreteId(models, name)),
    );
  };
  const createdAt = new Date(startedAt).toISOString();

  app.get<{ Querystring: Record<string, unknown> }>("/v1/models", async (request) => {
    const { url, headers, query } = request;
    if (speaksAnthropic(url, headers)) return anthropicModels(await items(request), createdAt, query);
    return { object: "list", data: await items(request) };
  });

  app.get<{ Params: { "*": string } }>("/v1/models/*", async (request) => {
    const { url, headers, params } = request;
    const item = (await items(request)).find(({ id }) => id === params["*"]);
    if (item) return speaksAnthropic(url, headers) ? anthropicModel(item, createdAt) : item;
    const message = `The model '${params["*"].slice(0, 200)}' does not exist.`;
    throw new GatewayError("model_not_found", message, "model");
  });
}
