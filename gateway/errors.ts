// Every failure which the gateway itself answers, in one table: status, OpenAI's type, and when to come back.
// A temporary condition is never a 404, for clients stop at one; and no message carries an upstream's words.

import type { FailureKind } from "../kit/failure.ts";

const kinds = {
  malformed_json: { status: 400, type: "invalid_request_error" },
  invalid_request_body: { status: 400, type: "invalid_request_error" },
  missing_model_field: { status: 400, type: "invalid_request_error" },
  unsupported_parameter: { status: 400, type: "invalid_request_error" },
  previous_response_not_found: { status: 400, type: "invalid_request_error" },
  invalid_api_key: { status: 401, type: "invalid_request_error" },
  permission_denied: { status: 403, type: "invalid_request_error" },
  rate_limit_exceeded: { status: 429, type: "rate_limit_error", retryAfterS: 1 },
  response_not_found: { status: 404, type: "invalid_request_error" },
  thread_not_found: { status: 404, type: "invalid_request_error" },
  upgrade_required: { status: 426, type: "invalid_request_error" },
  not_found: { status: 404, type: "invalid_request_error" },
  model_not_found: { status: 404, type: "invalid_request_error" },
  request_too_large: { status: 413, type: "invalid_request_error" },
  model_loading: { status: 503, type: "server_error", retryAfterS: 3 },
  model_unavailable: { status: 503, type: "server_error", retryAfterS: 3 },
  model_busy: { status: 409, type: "invalid_request_error" },
  model_load_failed: { status: 502, type: "server_error" },
  no_feasible_neuron: { status: 503, type: "server_error" },
  no_room: { status: 503, type: "server_error", retryAfterS: 10 },
  no_healthy_neuron: { status: 503, type: "server_error", retryAfterS: 5 },
  shutting_down: { status: 503, type: "server_error", retryAfterS: 5 },
  store_unavailable: { status: 503, type: "server_error", retryAfterS: 2 },
  upstream_unreachable: { status: 502, type: "server_error", retryAfterS: 2 },
  upstream_failed: { status: 502, type: "server_error", retryAfterS: 2 },
  upstream_interrupted: { status: 502, type: "server_error", retryAfterS: 2 },
  upstream_timeout: { status: 504, type: "server_error" },
  internal: { status: 500, type: "server_error" },
} as const satisfies Record<string, FailureKind>;

export type GatewayErrorCode = keyof typeof kinds;

export class GatewayError extends Error {
  readonly code: GatewayErrorCode;
  /** The field of the request which is at fault. */
  readonly param: string | null;
  /** When to come back; undefined where waiting cannot help. */
  readonly retryAfterS: number | undefined;

  constructor(
    code: GatewayErrorCode,
    message: string,
    param: string | null = null,
    options: ErrorOptions & { retryAfterS?: number } = {},
  ) {
    super(message, options);
    this.name = "GatewayError";
    this.code = code;
    this.param = param;
    this.retryAfterS = options.retryAfterS ?? this.kind.retryAfterS;
  }

  get kind(): FailureKind {
    return kinds[this.code];
  }
}

/** Anything thrown while answering, as one of ours; a stranger is a bug and says nothing of itself to the client. */
export function toGatewayError(error: unknown): GatewayError {
  if (error instanceof GatewayError) return error;
  const status = (error as { statusCode?: unknown } | undefined)?.statusCode;
  if (status === 413)
    return new GatewayError("request_too_large", "The request body is larger than this gateway accepts.");
  if (typeof status === "number" && status >= 400 && status < 500)
    return new GatewayError("invalid_request_body", "The request could not be read.", null, { cause: error });
  return new GatewayError("internal", "The gateway met an internal error; its log has the details.", null, {
    cause: error,
  });
}
