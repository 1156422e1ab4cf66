// POST /v1/chat/completions (and how long its prompt is) and /v1/completions: check, translate, ask the model, answer in chunks or whole.

import { randomUUID } from "node:crypto";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { EngineError } from "../engine/errors.ts";
import type { GenerationOptions, TextEvent } from "../engine/serve/types.ts";
import { failure, report } from "./answers.ts";
import { chatAnswer, chatEncoder } from "./chat-answer.ts";
import { check } from "./check.ts";
import { choicesEncoder, seedOf, together } from "./choices.ts";
import { completionAnswer, completionEncoder } from "./completion-answer.ts";
import type { Log } from "./log.ts";
import { startMeter } from "./metrics.ts";
import type { Metrics } from "./metrics.ts";
import { shuttingDown } from "./models.ts";
import type { Entry, Models } from "./models.ts";
import { gather } from "./openai-answer.ts";
import type { Encoder, Frame, Gathered, Head } from "./openai-answer.ts";
import { ChatBody, CompletionBody } from "./openai-body.ts";
import { principalHeader } from "./protocol.ts";
import type { InputTokens } from "./protocol.ts";
import { echoed, toChat, toCompletion } from "./openai-request.ts";
import { stream } from "./sse.ts";

export interface OpenAiDeps {
  models: Models;
  metrics: Metrics;
  log: Log;
  /** Aborted when the daemon stops waiting for running requests. */
  stop: AbortSignal;
  keepaliveMs: number;
  stallMs: number;
}

/** One endpoint's way to ask and to answer. */
interface Task {
  entry: Entry;
  endpoint: string;
  stream: boolean;
  /** How many answers. */
  choices: number;
  ask(signal: AbortSignal, choice: number): AsyncIterable<TextEvent>;
  encoder(choice: number): Encoder;
  whole(answers: readonly Gathered[]): Frame;
}

export function openAiRoutes(app: FastifyInstance, deps: OpenAiDeps): void {
  app.post("/v1/chat/completions", async (request, reply) => {
    const body = check(ChatBody, request.body);
    const entry = deps.models.get(body.model);
    const asked = { ...toChat(body, entry.model.info), ...principalOf(request) };
    const head = headOf("chatcmpl", body, body.logprobs === true);
    return answer(deps, request, reply, {
      entry,
      endpoint: "chat",
      stream: body.stream ?? false,
      choices: body.n ?? 1,
      ask: (signal, choice) => entry.model.chat(withSeed(asked, choice), signal),
      encoder: (choice) => chatEncoder(head, choice),
      whole: (gathered) => chatAnswer(head, gathered),
    });
  });

  app.post("/v1/chat/completions/input_tokens", async (request) => {
    const body = check(ChatBody, request.body);
    const { model } = deps.models.get(body.model);
    return { input_tokens: await model.countTokens(toChat(body, model.info)) } satisfies InputTokens;
  });

  app.post("/v1/completions", async (request, reply) => {
    const body = check(CompletionBody, request.body);
    const entry = deps.models.get(body.model);
    const asked = { ...toCompletion(body, entry.model.info), ...principalOf(request) };
    const head = headOf("cmpl", body, typeof body.logprobs === "number");
    return answer(deps, request, reply, {
      entry,
      endpoint: "completions",
      stream: body.stream ?? false,
      choices: body.n ?? 1,
      ask: (signal, choice) => entry.model.complete(withSeed(asked, choice), signal),
      encoder: (choice) => completionEncoder(head, echoed(body), choice),
      whole: (gathered) => completionAnswer(head, echoed(body), gathered),
    });
  });
}

export function principalOf({ headers }: FastifyRequest): { principal?: string } {
  const principal = headers[principalHeader];
  return typeof principal === "string" && principal !== "" ? { principal } : {};
}

function withSeed<R extends { options: GenerationOptions }>(request: R, choice: number): R {
  const seed = seedOf(request.options.seed, choice);
  return seed === undefined ? request : { ...request, options: { ...request.options, seed } };
}

function headOf(prefix: string, body: ChatBody | CompletionBody, logprobs: boolean): Head {
  return {
    id: `${prefix}-${randomUUID().replaceAll("-", "")}`,
    created: Math.floor(Date.now() / 1000),
    model: body.model,
    includeUsage: body.stream_options?.include_usage === true,
    promptUsage: body.stream_options?.prompt_usage === true,
    logprobs,
  };
}

async function answer(
  deps: OpenAiDeps,
  request: FastifyRequest,
  reply: FastifyReply,
  task: Task,
): Promise<unknown> {
  const meter = startMeter(deps.metrics, task.entry, task.endpoint, task.choices);
  const choices = Array.from({ length: task.choices }, (_, choice) => choice);
  const closed = closedSignal(reply);
  const abort = new AbortController();
  const end = () => abort.abort();
  // Not AbortSignal.any: the daemon's signal outlives all requests and would remember each.
  closed.addEventListener("abort", end, { once: true });
  deps.stop.addEventListener("abort", end, { once: true });
  const failed = (error: unknown): unknown => {
    const known = classify(error, task.entry, { closed, stop: deps.stop });
    meter.failed(failure(known, request.id).code);
    return known;
  };
  try {
    const asks = choices.map((choice) => (signal: AbortSignal) => meter.watch(task.ask(signal, choice)));
    const events = together(asks, abort.signal);
    if (!task.stream) return task.whole(await gather(events, task.choices));
    await stream(reply, events, choicesEncoder(choices.map((choice) => task.encoder(choice))), {
      keepaliveMs: deps.keepaliveMs,
      stallMs: deps.stallMs,
      closed,
      abort: end,
      failed: (error) => brokenOff(deps, request, failed(error)),
    });
    return reply;
  } catch (error) {
    throw failed(error);
  } finally {
    deps.stop.removeEventListener("abort", end);
    meter.ended();
  }
}

/** The error as the event that ends a stream. */
function brokenOff({ log, metrics }: OpenAiDeps, request: FastifyRequest, error: unknown): Frame {
  const end = failure(error, request.id);
  report(log, error, end, request);
  metrics.errors.inc({ code: end.code });
  return end.body;
}

/** What an error of the engine means here. */
export function classify(
  error: unknown,
  entry: Entry,
  ends: { closed: AbortSignal; stop: AbortSignal },
): unknown {
  if (ends.closed.aborted) return new EngineError("cancelled", "the client closed the connection");
  if (ends.stop.aborted) return shuttingDown();
  if (error instanceof EngineError && error.code === "cancelled") {
    return new EngineError("cancelled", `model "${entry.id}" was unloaded while it answered`);
  }
  return error;
}

/** Aborted when the connection closes before the answer is complete. */
export function closedSignal(reply: FastifyReply): AbortSignal {
  const controller = new AbortController();
  reply.raw.once("close", () => {
    if (!reply.raw.writableFinished) controller.abort();
  });
  return controller.signal;
}
