// A failure in the words of each dialect. Clients read these closely: they shorten their history on the phrase for an
// overlong prompt, and come again or give up by type and status.

import type { Failure } from "./canonical.ts";

export { failureBody as openAiError } from "../../kit/failure.ts";

/** Anthropic's, for a body and for an `error` event alike. */
export function anthropicError(failure: Failure, requestId: string): object {
  // On this very detail the SDK sends its whole conversation again.
  const details = failure.code === "thread_not_found" ? { details: { error_code: failure.code } } : {};
  const error = { type: anthropicType(failure.status), message: anthropicMessage(failure), ...details };
  return { type: "error", error, request_id: requestId };
}

const anthropicTypes: Readonly<Record<number, string>> = {
  401: "authentication_error",
  402: "billing_error",
  403: "permission_error",
  404: "not_found_error",
  409: "conflict_error",
  413: "request_too_large",
  429: "rate_limit_error",
  503: "overloaded_error",
  504: "timeout_error",
  529: "overloaded_error",
};

function anthropicType(status: number): string {
  return anthropicTypes[status] ?? (status < 500 ? "invalid_request_error" : "api_error");
}

function anthropicMessage({ code, message }: Failure): string {
  if (code !== "context_length_exceeded") return message;
  // "maximum context length is 4096 tokens, but the prompt has 5000 tokens", as all servers have it, in either order.
  const [a, b] = [...message.matchAll(/(\d+)\s+(?:input )?tokens/g)].map(([, figure]) => Number(figure));
  if (a === undefined || b === undefined) return `prompt is too long: ${message}`;
  return `prompt is too long: ${Math.max(a, b)} tokens > ${Math.min(a, b)} maximum`;
}

/** The codes that OpenAI's schema has for a response that failed, and one that Codex looks for. */
const responseCodes = new Set([
  "server_error",
  "rate_limit_exceeded",
  "invalid_prompt",
  "context_length_exceeded",
]);

/** `error` of a response that failed. */
export function responseError({ code, message }: Failure): { code: string; message: string } {
  return { code: responseCodes.has(code) ? code : "server_error", message };
}
