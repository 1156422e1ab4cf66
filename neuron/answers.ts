// How every failure leaves this daemon over HTTP: one row a code, in OpenAI's envelope.

import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { EngineError } from "../engine/errors.ts";
import type { ErrorCode } from "../engine/errors.ts";
import { failureBody, retryHeaders } from "../kit/failure.ts";
import type { FailureBody, FailureKind } from "../kit/failure.ts";
import type { Log } from "./log.ts";

/** details.retryAfter of an error goes before the seconds of its row. */
export const answers: Record<ErrorCode, FailureKind> = {
  bad_request: { status: 400, type: "invalid_request_error" },
  unsupported_parameter: { status: 400, type: "invalid_request_error" },
  context_length_exceeded: { status: 400, type: "invalid_request_error" },
  template_failed: { status: 400, type: "invalid_request_error" },
  vision_unsupported: { status: 400, type: "invalid_request_error" },
  model_not_found: { status: 404, type: "invalid_request_error" },
  model_loading: { status: 503, type: "server_error", retryAfterS: 2 },
  model_busy: { status: 409, type: "invalid_request_error" },
  unsupported_model: { status: 422, type: "invalid_request_error" },
  bad_checkpoint: { status: 422, type: "invalid_request_error" },
  bad_config: { status: 500, type: "server_error" },
  no_adapter: { status: 503, type: "server_error" },
  out_of_memory: { status: 422, type: "invalid_request_error" },
  device_lost: { status: 503, type: "server_error", retryAfterS: 5 },
  load_stalled: { status: 503, type: "server_error", retryAfterS: 30 },
  download_failed: { status: 502, type: "server_error" },
  disk_full: { status: 507, type: "server_error" },
  port_in_use: { status: 500, type: "server_error" },
  queue_full: { status: 503, type: "server_error", retryAfterS: 2 },
  rate_limit_exceeded: { status: 429, type: "rate_limit_error", retryAfterS: 2 },
  shutting_down: { status: 503, type: "server_error", retryAfterS: 15 },
  // Who closed the connection reads no answer, so this one is for requests that a forced unload ended.
  cancelled: { status: 503, type: "server_error", retryAfterS: 2 },
  internal: { status: 500, type: "server_error" },
};

/** What Fastify itself refuses before a route runs. */
const refusedByFastify: Record<string, { status: number; code: string; message?: string }> = {
  FST_ERR_CTP_BODY_TOO_LARGE: { status: 413, code: "request_too_large" },
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: { status: 400, code: "bad_request" },
  FST_ERR_CTP_INVALID_JSON_BODY: { status: 400, code: "malformed_json" },
  FST_ERR_CTP_EMPTY_JSON_BODY: { status: 400, code: "malformed_json", message: "the request has no body" },
  FST_ERR_CTP_INVALID_MEDIA_TYPE: {
    status: 415,
    code: "unsupported_media_type",
    message: "send the body as content-type: application/json",
  },
};

interface Failure {
  status: number;
  code: string;
  body: FailureBody;
  retryAfter: number | undefined;
}

/** The answer to a failure of any kind. A bug's text stays in the log; the client gets the request's id to look for. */
export function failure(error: unknown, requestId: string): Failure {
  if (error instanceof EngineError && error.code !== "internal") {
    const { status, type } = answers[error.code];
    const body = envelope(wording(error), type, error.code, error.details["param"]);
    if (error.code === "out_of_memory") Object.assign(body.error, figuresOf(error));
    return { status, code: error.code, body, retryAfter: retryAfterOf(error) };
  }
  const refused = refusedByFastify[(error as Partial<FastifyError>)?.code ?? ""] ?? malformedUrl(error);
  if (refused) {
    const message = refused.message ?? (error as Error).message;
    const body = envelope(message, "invalid_request_error", refused.code, null);
    return { status: refused.status, code: refused.code, body, retryAfter: undefined };
  }
  const message = `internal error; the daemon's log tells more under request ${requestId}`;
  const body = envelope(message, answers.internal.type, "internal", null);
  return { status: 500, code: "internal", body, retryAfter: undefined };
}

function retryAfterOf({ code, details: { retryAfter } }: EngineError): number | undefined {
  const { retryAfterS: usual } = answers[code];
  return usual !== undefined && typeof retryAfter === "number" ? Math.ceil(retryAfter) : usual;
}

/** Of a model that does not fit: bytes needed and there, for whoever places models. */
function figuresOf({ details: { needed, available } }: EngineError): Record<string, number> {
  if (typeof needed !== "number" || typeof available !== "number") return {};
  return { needed_bytes: needed, available_bytes: available };
}

function malformedUrl(error: unknown): { status: number; code: string; message?: string } | undefined {
  const { statusCode } = error as Partial<FastifyError>;
  if (error instanceof EngineError || statusCode === undefined || statusCode < 400 || statusCode > 499)
    return undefined;
  return { status: statusCode, code: "bad_request" };
}

/** Clients look for the phrase "maximum context length is N tokens" and compact their history when they find it. */
function wording(error: EngineError): string {
  const { max, promptTokens } = error.details;
  if (error.code !== "context_length_exceeded" || typeof max !== "number") return error.message;
  return `This model's maximum context length is ${max} tokens, but the prompt has ${String(promptTokens)} tokens. Please shorten the messages.`;
}

function envelope(message: string, type: string, code: string, param: unknown): FailureBody {
  return failureBody({ message, type, param: typeof param === "string" ? param : null, code });
}

/** Puts every error, and every unknown route, into the envelope. */
export function answerErrors(app: FastifyInstance, log: Log, count: (code: string) => void): void {
  app.setErrorHandler((error, request, reply) => {
    const answer = failure(error, request.id);
    report(log, error, answer, request);
    count(answer.code);
    return send(reply, answer);
  });
  app.setNotFoundHandler((request, reply) => {
    const message = `no route ${request.method} ${request.url.split("?")[0]}; GET / lists them`;
    count("not_found");
    return reply.code(404).send(envelope(message, "invalid_request_error", "not_found", null));
  });
}

export function report(log: Log, error: unknown, answer: Failure, request: FastifyRequest): void {
  const where = `${request.id} ${request.method} ${printable(request.url)}`;
  if (answer.code === "internal") {
    log.error(`${where}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  } else if (answer.code !== "cancelled") {
    log.info(printable(`${where}: ${answer.status} ${answer.code}: ${answer.body.error.message}`));
  }
}

/** What a client wrote must not forge a line of the log, nor steer the terminal that shows it. */
function printable(text: string): string {
  return text.replace(
    /[\x00-\x1f\x7f-\x9f\u2028\u2029]/g,
    (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
}

/** For a url that no route can read. */
export function answerBadUrl(error: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
  send(reply, failure(error, request.id));
}

function send(reply: FastifyReply, { status, body, retryAfter }: Failure): FastifyReply {
  return reply.code(status).headers(retryHeaders(retryAfter)).send(body);
}
