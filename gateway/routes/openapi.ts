// GET /openapi.json: the gateway's API as an OpenAPI document.

import { openApi } from "../../kit/openapi.ts";
import type { Operation } from "../../kit/openapi.ts";
import { ChatBody, CompletionBody, EmbeddingBody } from "../../neuron/openai-body.ts";
import {
  ChatChunk,
  ChatCompletion,
  EmbeddingList,
  ModelCard,
  ModelCards,
  TextCompletion,
} from "../../neuron/openai-shapes.ts";
import { ErrorEnvelope, InputTokens } from "../../neuron/protocol.ts";
import { CountBody, MessagesBody } from "../dialects/messages-body.ts";
import { InputTokensBody, ResponsesBody } from "../dialects/responses-body.ts";
import { LoadAnswer, LoadBody, PinBody, RestartAnswer, UnloadAnswer, UnloadBody } from "./fleet.ts";

/** What the door (key, permission, limits) and the fleet (no such model, no room) may say to any generation. */
const generation = [401, 403, 404, 429, 503];
const keyed = [401, 403];

const generate: readonly Operation[] = [
  {
    route: "POST /v1/chat/completions",
    tag: "Generate",
    summary: "OpenAI's Chat Completions",
    description: "The body goes to the neuron as it came; what the neuron refuses, it refuses by name.",
    ...{ request: ChatBody, response: ChatCompletion, stream: ChatChunk, errors: generation },
  },
  {
    route: "POST /v1/chat/completions/input_tokens",
    tag: "Generate",
    summary: "How long the prompt of a chat completion would be",
    ...{ request: ChatBody, response: InputTokens, errors: generation },
  },
  {
    route: "POST /v1/completions",
    tag: "Generate",
    summary: "OpenAI's text completions, without a template",
    ...{ request: CompletionBody, response: TextCompletion, stream: TextCompletion, errors: generation },
  },
  {
    route: "POST /v1/responses",
    tag: "Generate",
    summary: "OpenAI's Responses",
    ...{ request: ResponsesBody, stream: "dialect", errors: generation },
  },
  {
    route: "POST /v1/messages",
    tag: "Generate",
    summary: "Anthropic's Messages",
    description: "Errors come in Anthropic's envelope.",
    ...{ request: MessagesBody, stream: "dialect", errors: generation },
  },
  {
    route: "POST /v1/messages/count_tokens",
    tag: "Generate",
    summary: "How long the prompt of a message would be",
    ...{ request: CountBody, response: InputTokens, errors: generation },
  },
  {
    route: "POST /v1/responses/input_tokens",
    tag: "Generate",
    summary: "How long the prompt of a response would be",
    ...{ request: InputTokensBody, response: InputTokens, errors: generation },
  },
  {
    route: "POST /v1/embeddings",
    tag: "Generate",
    summary: "OpenAI's embeddings, where the model makes them",
    ...{ request: EmbeddingBody, response: EmbeddingList, errors: generation },
  },
];

const responses: readonly Operation[] = [
  {
    route: "GET /v1/responses",
    tag: "Responses",
    summary: "No list: 404; and 426 for a client that asks for WebSocket",
    errors: [404, 426],
  },
  { route: "GET /v1/responses/:id", tag: "Responses", summary: "A stored response", errors: [...keyed, 404] },
  { route: "DELETE /v1/responses/:id", tag: "Responses", summary: "Forget it", errors: [...keyed, 404] },
  {
    route: "POST /v1/responses/:id/cancel",
    tag: "Responses",
    summary: "Always refused: nothing runs in the background",
    errors: [400, ...keyed, 404],
  },
  {
    route: "GET /v1/responses/:id/input_items",
    tag: "Responses",
    summary: "What it was asked with",
    errors: [...keyed, 404],
  },
];

const models: readonly Operation[] = [
  {
    route: "GET /v1/models",
    tag: "Models",
    summary: "The models and aliases that a request may ask for",
    description: "In Anthropic's shape for who sends anthropic-version.",
    ...{ response: ModelCards, errors: keyed },
  },
  {
    route: "GET /v1/models/*",
    tag: "Models",
    summary: "One model",
    ...{ response: ModelCard, errors: [...keyed, 404] },
  },
];

const operation: readonly Operation[] = [
  { route: "GET /", tag: "Operate", summary: "The page for browsers, the fleet's health for others" },
  { route: "GET /health", tag: "Operate", summary: "The fleet's health; asks for no key" },
  { route: "GET /openapi.json", tag: "Operate", summary: "This document" },
  { route: "GET /api/fleet", tag: "Operate", summary: "The fleet in figures, for the page", errors: keyed },
  {
    route: "POST /api/neurons/:name/drain",
    tag: "Operate",
    summary: "Send a neuron nothing new",
    errors: [...keyed, 404],
  },
  {
    route: "DELETE /api/neurons/:name/drain",
    tag: "Operate",
    summary: "Send it requests again",
    errors: [...keyed, 404],
  },
  {
    route: "POST /api/models/load",
    tag: "Operate",
    summary: "Load a model, on one neuron or where it fits best; making room if it must",
    ...{ request: LoadBody, response: LoadAnswer, errors: [...keyed, 404, 502, 503] },
  },
  {
    route: "POST /api/models/unload",
    tag: "Operate",
    summary: "Unload a model, from one neuron or from all; refused while it is at work, unless by force",
    ...{ request: UnloadBody, response: UnloadAnswer, errors: [...keyed, 404, 409, 503] },
  },
  {
    route: "POST /api/models/pin",
    tag: "Operate",
    summary: "Keep a model where it is, or no longer",
    ...{ request: PinBody, response: PinBody, errors: [...keyed, 404] },
  },
  {
    route: "POST /api/neurons/:name/restart",
    tag: "Operate",
    summary: "Open a neuron's device anew, once its models have nothing to do",
    ...{ response: RestartAnswer, errors: [...keyed, 404, 503] },
  },
  { route: "GET /api/usage", tag: "Operate", summary: "Tokens and requests by key and day", errors: keyed },
];

/** One for every route; a test holds the two together. */
export const operations: readonly Operation[] = [...generate, ...responses, ...models, ...operation];

export function gatewayApi(version: string): Record<string, unknown> {
  const about = {
    title: "cortex",
    version,
    description: "One OpenAI- and Anthropic-compatible address in front of any number of neurons.",
    server: "http://127.0.0.1:31313",
    errorBody: ErrorEnvelope,
  };
  return openApi(about, operations);
}
