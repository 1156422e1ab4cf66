// GET /openapi.json: the neuron's API as an OpenAPI document.

import { openApi } from "../kit/openapi.ts";
import type { Operation } from "../kit/openapi.ts";
import { ChatBody, CompletionBody, EmbeddingBody } from "./openai-body.ts";
import {
  ChatChunk,
  ChatCompletion,
  EmbeddingList,
  ModelCard,
  ModelCards,
  TextCompletion,
} from "./openai-shapes.ts";
import * as protocol from "./protocol.ts";
import { version } from "./version.ts";

const busy = [404, 429, 503];

/** One for every route; a test holds the two together. */
export const operations: readonly Operation[] = [
  {
    route: "POST /v1/chat/completions",
    tag: "Generate",
    summary: "Chat Completions, as OpenAI has it",
    description:
      "Unknown fields pass; a known one that is not implemented is refused by name. Extensions: top_k, min_p, " +
      "repetition_penalty, reasoning_content in messages, chat_template_kwargs, stream_options.prompt_usage, timings.",
    ...{ request: ChatBody, response: ChatCompletion, stream: ChatChunk, errors: busy },
  },
  {
    route: "POST /v1/chat/completions/input_tokens",
    tag: "Generate",
    summary: "How long the prompt of a chat completion would be",
    ...{ request: ChatBody, response: protocol.InputTokens, errors: [404, 503] },
  },
  {
    route: "POST /v1/completions",
    tag: "Generate",
    summary: "Text completions, without a template",
    ...{ request: CompletionBody, response: TextCompletion, stream: TextCompletion, errors: busy },
  },
  {
    route: "POST /v1/embeddings",
    tag: "Generate",
    summary: "OpenAI's embeddings, where the model makes them",
    ...{ request: EmbeddingBody, response: EmbeddingList, errors: busy },
  },
  { route: "GET /v1/models", tag: "Models", summary: "The loaded models", response: ModelCards },
  { route: "GET /v1/models/*", tag: "Models", summary: "One model", response: ModelCard, errors: [404] },
  {
    route: "GET /models",
    tag: "Models",
    summary: "Every model that is loaded, on its way in or out, or that failed",
    response: protocol.ModelList,
  },
  {
    route: "GET /models/*",
    tag: "Models",
    summary: "Where a loaded model answers: the path is its id, then /endpoint",
    ...{ response: protocol.Endpoint, errors: [404, 503] },
  },
  {
    route: "POST /models/load",
    tag: "Models",
    summary: "Load a model, downloading it where it must be; answers when it is loaded",
    ...{ request: protocol.LoadRequest, response: protocol.LoadResponse, errors: [404, 422, 503] },
  },
  {
    route: "POST /models/unload",
    tag: "Models",
    summary: "Unload a model",
    ...{ request: protocol.UnloadRequest, response: protocol.UnloadResponse, errors: [404, 409] },
  },
  {
    route: "POST /restart",
    tag: "Models",
    summary: "Start the device anew, with the models that lie on it",
    ...{ request: protocol.RestartRequest, response: protocol.RestartResponse, errors: [409, 503] },
  },
  { route: "GET /", tag: "Status", summary: "What this is, and its routes" },
  { route: "GET /health", tag: "Status", summary: "Devices, models and load", response: protocol.Health },
  { route: "GET /discovery", tag: "Status", summary: "What this host is", response: protocol.Discovery },
  { route: "GET /version", tag: "Status", summary: "Versions", response: protocol.Version },
  { route: "GET /metrics", tag: "Status", summary: "Prometheus metrics", response: "text" },
  { route: "GET /openapi.json", tag: "Status", summary: "This document" },
];

export function neuronApi(): Record<string, unknown> {
  const about = {
    title: "neuron",
    version,
    description: "LLM engine of one host on WebGPU, with an OpenAI-compatible API.",
    server: `http://127.0.0.1:${protocol.defaultPort}`,
    errorBody: protocol.ErrorEnvelope,
  };
  return openApi(about, operations);
}
