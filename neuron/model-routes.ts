// Loading and unloading, and the models as OpenAI's clients list them.

import type { FastifyInstance } from "fastify";
import { check } from "./check.ts";
import type { Entry, Models } from "./models.ts";
import { LoadRequest, modalitiesOf, RestartRequest, UnloadRequest } from "./protocol.ts";
import type { Endpoint, LoadResponse, RestartResponse, UnloadResponse } from "./protocol.ts";
import { refusal } from "./refusals.ts";
import { outputLimit } from "./status-routes.ts";

/** Ids contain slashes; the wildcard takes them raw and url-encoded alike. */
interface ById {
  Params: { "*": string };
}

export function modelRoutes(app: FastifyInstance, { models }: { models: Models }): void {
  app.post("/models/load", async (request): Promise<LoadResponse> => {
    const body = check(LoadRequest, request.body);
    if (body.harness && body.harness !== "webgpu") throw refusal("harness", body.harness);
    const entry = await models.load({
      id: body.model_id,
      ...(body.source ? { source: body.source } : {}),
      ...(body.context_length ? { contextLength: body.context_length } : {}),
      ...(body.quant ? { quant: body.quant } : {}),
      ...(body.devices && body.devices.length > 0 ? { devices: body.devices } : {}),
      ...(body.tensor_parallel ? { tensorParallel: body.tensor_parallel } : {}),
      ...(body.pipeline_parallel ? { pipelineParallel: body.pipeline_parallel } : {}),
      ...(body.weights && body.weights.length > 0 ? { weights: body.weights } : {}),
    });
    return { status: "loaded", model_id: entry.id };
  });

  app.post("/models/unload", async (request): Promise<UnloadResponse> => {
    const body = check(UnloadRequest, request.body);
    await models.unload(body.model_id, { force: body.force ?? false, waitMs: 1000 * (body.wait_s ?? 0) });
    return { status: "unloaded", model_id: body.model_id };
  });

  app.post("/restart", async (request): Promise<RestartResponse> => {
    const { force } = check(RestartRequest, request.body ?? {});
    await models.restart(force ?? false);
    return { status: "restarted" };
  });

  app.get<ById>("/models/*", (request, reply): Endpoint | undefined => {
    const path = request.params["*"];
    if (!path.endsWith("/endpoint")) {
      reply.callNotFound();
      return undefined;
    }
    models.get(path.slice(0, -"/endpoint".length), "id");
    // As the caller sees this host: the address we are bound to may be no address to call.
    return { url: `${request.protocol}://${request.host}` };
  });

  app.get("/v1/models", () => ({
    object: "list",
    data: models
      .list()
      .filter((entry) => entry.model && entry.status === "loaded")
      .map(describe),
  }));
  app.get<ById>("/v1/models/*", (request) => describe(models.get(request.params["*"])));
}

/** OpenAI's model object with the figures that clients look for under their several names. */
function describe({ id, model, loadedAt }: Entry): Record<string, unknown> {
  const info = model!.info;
  return {
    id,
    object: "model",
    created: loadedAt,
    owned_by: "neuron",
    context_length: info.contextLength,
    context_window: info.contextLength,
    max_model_len: info.contextLength,
    max_output_tokens: outputLimit(info.contextLength),
    capabilities: info.capabilities,
    modalities: modalitiesOf(info.capabilities),
    tool_call: info.toolCalls,
    reasoning: info.reasoning,
    model_type: info.modelType,
    format: info.format,
    quant: info.quant,
    parameters: info.parameters,
  };
}
