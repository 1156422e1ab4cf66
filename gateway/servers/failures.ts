// The errors of servers of other makes, which come in many shapes, as failures that every dialect can tell. A client's own
// mistakes are told in the server's words; what is the server's business is told in ours, for its words must not get out.
// Pure.

import type { Failure } from "../dialects/canonical.ts";

/**
 * `{"error":{"message"}}` and `{"error":"…"}`, vLLM's `{"object":"error","message"}`, FastAPI's `{"detail"}`; `status` is
 * that of the answer, undefined within a stream. Undefined when the body holds no error.
 */
export function failureIn(body: unknown, status: number | undefined): Failure | undefined {
  if (!isObject(body)) return undefined;
  const found = body.error ?? (body.object === "error" || "detail" in body ? body : undefined);
  const error = isObject(found) ? found : { message: found };
  const message = messageOf(error);
  return found === undefined || found === null ? undefined : failureOf(error, message, status);
}

/** For answers of a bad status whose body holds no error. */
export function failureOfStatus(status: number): Failure {
  return failureOf({}, "", status);
}

function failureOf(error: Record<string, unknown>, message: string, status: number | undefined): Failure {
  const overflow = overflowIn(error, message);
  if (overflow !== undefined) return mistake(400, "context_length_exceeded", overflow, "messages");
  switch (status ?? statusIn(error)) {
    case 400:
    case 422:
      return mistake(400, codeOf(error) ?? "invalid_request_body", message, paramOf(error));
    case 413:
      return mistake(413, "request_too_large", message, null);
    case 404:
      return mistake(
        404,
        "model_not_found",
        "The server with this model does not have it any more.",
        "model",
      );
    case 429:
      return fault(
        429,
        "rate_limit_exceeded",
        "The server with this model is at its limit; try again shortly.",
      );
    case 503:
      return fault(
        503,
        "model_unavailable",
        "The server with this model cannot serve it now; try again shortly.",
      );
    default:
      return fault(502, "upstream_failed", "The server with this model failed.");
  }
}

/** "…the prompt has M tokens, the context N", in the phrase that clients look for; undefined for any other error. */
function overflowIn(error: Record<string, unknown>, message: string): string | undefined {
  const { n_ctx, n_prompt_tokens } = error;
  if (typeof n_ctx === "number" && typeof n_prompt_tokens === "number")
    return `This model's maximum context length is ${n_ctx} tokens, but the prompt has ${n_prompt_tokens} tokens.`;
  if (/maximum context length is \d+ tokens/i.test(message)) return message;
  const isOverflow =
    error.code === "context_length_exceeded" ||
    /exceed_context_size|context_exceeded/.test(String(error.type)) ||
    /context (size|length|window).*exceed|exceeds? .*context (size|length|window)|n_keep.*context/i.test(
      message,
    );
  return isOverflow ? `This model's maximum context length is exceeded: ${message}` : undefined;
}

function statusIn({ code, type }: Record<string, unknown>): number {
  if (typeof code === "number") return code;
  if (typeof code === "string" && /^[45]\d\d$/.test(code)) return Number(code);
  return /invalid_request|BadRequest/.test(String(type)) ? 400 : 500;
}

function messageOf({ message, detail }: Record<string, unknown>): string {
  const said = message ?? detail;
  const text = typeof said === "string" ? said : said === undefined ? "" : JSON.stringify(said);
  return text === "" ? "The server with this model refused the request." : text.slice(0, 2000);
}

function codeOf({ code }: Record<string, unknown>): string | undefined {
  return typeof code === "string" && /^[a-z_]{3,64}$/.test(code) ? code : undefined;
}

function paramOf({ param }: Record<string, unknown>): string | null {
  return typeof param === "string" ? param : null;
}

function mistake(status: number, code: string, message: string, param: string | null): Failure {
  return { status, type: "invalid_request_error", code, message, param };
}

function fault(status: number, code: string, message: string): Failure {
  return { status, type: status === 429 ? "rate_limit_error" : "server_error", code, message, param: null };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
