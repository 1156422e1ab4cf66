// Every failure a user can cause or meet has a code in this list; each edge (HTTP, command line) maps the codes in
// one table of its own, typed Record<ErrorCode, …>, so a new code does not compile until every edge has an answer.
// A bug in our own code is a plain Error.

export const errorCodes = [
  "bad_request", // a value of the request is wrong; the message names its path and the value
  "unsupported_parameter", // a known parameter which this server does not implement
  "context_length_exceeded", // details: max, promptTokens
  "template_failed", // the checkpoint's chat template refused the messages
  "vision_unsupported",
  "model_not_found",
  "model_loading", // asked too early: it is on its way
  "model_busy", // e.g. unload while requests run
  "unsupported_model", // model_type (or a setting of it) outside our list
  "bad_checkpoint", // a damaged or incomplete model folder
  "bad_config",
  "no_adapter",
  "out_of_memory", // the model or cache does not fit the device
  "device_lost",
  "load_stalled", // the disk or a compiler gave nothing for too long
  "download_failed",
  "disk_full",
  "port_in_use",
  "queue_full",
  "rate_limit_exceeded", // one principal has its share already
  "shutting_down",
  "cancelled",
  "internal",
] as const;

export type ErrorCode = (typeof errorCodes)[number];

/** An error with a code of the list; `details` holds figures that an edge may put beside the message. */
export class EngineError extends Error {
  readonly code: ErrorCode;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(
    code: ErrorCode,
    message: string,
    details: Record<string, unknown> = {},
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = "EngineError";
    this.code = code;
    this.details = details;
  }
}

/** The error as plain data, for crossing a thread. */
export interface PlainError {
  code: ErrorCode;
  message: string;
  details: Readonly<Record<string, unknown>>;
}

export function toPlainError(error: unknown): PlainError {
  if (error instanceof EngineError)
    return { code: error.code, message: error.message, details: error.details };
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { code: "internal", message, details: {} };
}

export function fromPlainError(plain: PlainError): EngineError {
  return new EngineError(plain.code, plain.message, { ...plain.details });
}
