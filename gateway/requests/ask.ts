// The little that the gateway reads of a chat or text completion, and the body that it sends on. Pure.

import { GatewayError } from "../errors.ts";
import { setFields } from "../wire/json-edit.ts";

export interface Ask {
  model: string;
  stream: boolean;
  /** As it came. */
  body: Buffer;
  text: string;
  streamOptions: unknown;
  prompt_cache_key: unknown;
}

export interface Outgoing {
  body: Buffer | string;
  /** We asked for the usage chunk and the client did not: it must not see it. */
  hideUsage: boolean;
}

/** Throws GatewayError: malformed_json, invalid_request_body, missing_model_field. */
export function readAsk(body: Buffer | undefined): Ask {
  const text = body?.toString() ?? "";
  const fields = parseObject(text);
  const { model, stream, stream_options: streamOptions, prompt_cache_key } = fields;
  if (model === undefined || model === null || model === "")
    throw new GatewayError(
      "missing_model_field",
      "The request does not say which model: set 'model'.",
      "model",
    );
  if (typeof model !== "string")
    throw new GatewayError("invalid_request_body", `model: expected a string, not ${typeof model}`, "model");
  return { model, stream: stream === true, body: body!, text, streamOptions, prompt_cache_key };
}

/** The body for the neuron: byte for byte the client's, but for an alias's model and the wish for usage. */
export function outgoing(ask: Ask, model: string): Outgoing {
  const edits: Record<string, unknown> = {};
  if (model !== ask.model) edits.model = model;
  const hideUsage = ask.stream && lacksUsage(ask.streamOptions);
  if (hideUsage)
    edits.stream_options = { ...(ask.streamOptions as object | null | undefined), include_usage: true };
  const body = Object.keys(edits).length > 0 ? setFields(ask.text, edits) : ask.body;
  return { body, hideUsage };
}

/** What is neither absent nor an object is wrong, and for the neuron to say so. */
function lacksUsage(options: unknown): boolean {
  if (options === undefined || options === null) return true;
  if (typeof options !== "object" || Array.isArray(options)) return false;
  const { include_usage } = options as { include_usage?: unknown };
  return include_usage === undefined || include_usage === null || include_usage === false;
}

/** A request's JSON object; throws malformed_json or invalid_request_body. */
export function readJson(body: unknown): Record<string, unknown> {
  return parseObject(Buffer.isBuffer(body) ? body.toString() : "");
}

function parseObject(text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const why = text === "" ? "it is empty" : (error as Error).message;
    throw new GatewayError("malformed_json", `The request body is not valid JSON: ${why}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new GatewayError("invalid_request_body", "The request body must be a JSON object.");
  return value as Record<string, unknown>;
}
