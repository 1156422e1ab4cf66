// Whatever ended a request, as the failure that each dialect can tell, and the headers that say whether to come again.

import { retryHeaders } from "../../kit/failure.ts";
import type { Failure } from "../dialects/canonical.ts";
import type { GatewayError } from "../errors.ts";
import { NeuronRefusal } from "../wire/upstream.ts";

export function failureOf(error: GatewayError | NeuronRefusal): Failure {
  if (error instanceof NeuronRefusal) return refused(error);
  const { status, type } = error.kind;
  return { status, type, code: error.code, message: error.message, param: error.param };
}

function refused({ status, code, body }: NeuronRefusal): Failure {
  const { error } = JSON.parse(body.toString()) as {
    error: { message: string; type?: unknown; param?: unknown };
  };
  const type =
    typeof error.type === "string" ? error.type : status < 500 ? "invalid_request_error" : "server_error";
  return {
    status,
    type,
    code,
    message: error.message,
    param: typeof error.param === "string" ? error.param : null,
  };
}

/** Whether to come again: by our table, or as the neuron says. */
export function comeAgain(error: GatewayError | NeuronRefusal): Record<string, string> {
  if (!(error instanceof NeuronRefusal)) return retryHeaders(error.retryAfterS);
  const { status, retryAfter, shouldRetry } = error;
  if (retryAfter !== undefined)
    return /^\d+$/.test(retryAfter) ? retryHeaders(Number(retryAfter)) : { "retry-after": retryAfter };
  const inVain = status < 500 && ![408, 409, 429].includes(status);
  const told = shouldRetry ?? (inVain ? "false" : undefined);
  return told === undefined ? {} : { "x-should-retry": told };
}
