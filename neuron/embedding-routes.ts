// POST /v1/embeddings, as OpenAI's clients ask for them.

import type { FastifyInstance } from "fastify";
import { EngineError } from "../engine/errors.ts";
import type { EmbeddingRequest, Embeddings } from "../engine/serve/types.ts";
import { failure } from "./answers.ts";
import { check } from "./check.ts";
import { startMeter } from "./metrics.ts";
import type { Metrics } from "./metrics.ts";
import { shuttingDown } from "./models.ts";
import type { Models } from "./models.ts";
import { classify, closedSignal, principalOf } from "./openai-routes.ts";
import { EmbeddingBody } from "./openai-body.ts";
import { refusal } from "./refusals.ts";

/** What other servers know and would change the vectors without a word. */
const unknown = ["input_type", "task", "instruction", "normalize", "truncate", "truncate_prompt_tokens"];

export interface EmbeddingDeps {
  models: Models;
  metrics: Metrics;
  /** Aborted when the daemon stops waiting for running requests. */
  stop: AbortSignal;
}

export function embeddingRoutes(app: FastifyInstance, { models, metrics, stop }: EmbeddingDeps): void {
  app.post("/v1/embeddings", async (request, reply) => {
    const body = check(EmbeddingBody, request.body);
    for (const name of unknown)
      if (body[name] !== undefined && body[name] !== null) throw refusal(name, body[name]);
    const entry = models.get(body.model);
    const meter = startMeter(metrics, entry, "embeddings", 1);
    const closed = closedSignal(reply);
    const abort = new AbortController();
    const end = () => abort.abort();
    closed.addEventListener("abort", end, { once: true });
    stop.addEventListener("abort", end, { once: true });
    if (stop.aborted) throw shuttingDown();
    try {
      const asked = { ...toEmbedding(body), ...principalOf(request) };
      const answer = toAnswer(body, await entry.model.embed(asked, abort.signal));
      metrics.requests.inc({ model: entry.id, endpoint: "embeddings", outcome: "stop" });
      metrics.tokens.inc({ model: entry.id, kind: "prompt" }, answer.usage.prompt_tokens);
      return answer;
    } catch (error) {
      const known = classify(error, entry, { closed, stop });
      meter.failed(failure(known, request.id).code);
      throw known;
    } finally {
      stop.removeEventListener("abort", end);
      meter.ended();
    }
  });
}

function toEmbedding({ input, dimensions }: EmbeddingBody): EmbeddingRequest {
  if (input.length === 0) throw new EngineError("bad_request", "input: is empty", { param: "input" });
  const inputs = typeof input === "string" || typeof input[0] === "number" ? [input] : input;
  return {
    inputs: inputs as EmbeddingRequest["inputs"],
    ...(dimensions === undefined || dimensions === null ? {} : { dimensions }),
  };
}

function toAnswer({ model, encoding_format: format }: EmbeddingBody, { vectors, promptTokens }: Embeddings) {
  return {
    object: "list" as const,
    data: vectors.map((vector, index) => ({
      object: "embedding" as const,
      index,
      embedding: format === "base64" ? base64(vector) : [...vector],
    })),
    model,
    usage: { prompt_tokens: promptTokens, total_tokens: promptTokens },
  };
}

/** f32, little-endian. */
function base64(vector: Float32Array): string {
  const bytes = Buffer.alloc(4 * vector.length);
  vector.forEach((value, i) => bytes.writeFloatLE(value, 4 * i));
  return bytes.toString("base64");
}
