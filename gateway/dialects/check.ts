// A request's body held against its dialect's schema: it comes out typed, or the error names the field.

import * as v from "valibot";
import { GatewayError } from "../errors.ts";

/** Throws invalid_request_body with the path of the first wrong field, which begins with `within`. */
export function check<S extends v.GenericSchema>(schema: S, value: unknown, within = ""): v.InferOutput<S> {
  const result = v.safeParse(schema, value, { abortEarly: true });
  if (result.success) return result.output;
  const issue = result.issues[0];
  const path = [within, v.getDotPath(issue)].filter(Boolean).join(".") || null;
  const missing = issue.input === undefined && issue.kind === "schema";
  const message = missing ? "Field required" : issue.message.slice(0, 400);
  throw new GatewayError("invalid_request_body", path === null ? message : `${path}: ${message}`, path);
}

/** A known value which is not implemented: refused by name, never ignored. */
export function unsupported(param: string, value: unknown): GatewayError {
  const shown = (typeof value === "string" ? value : JSON.stringify(value)).slice(0, 80);
  return new GatewayError("unsupported_parameter", `${param}: ${shown} is not supported`, param);
}

export function invalid(param: string, message: string): GatewayError {
  return new GatewayError("invalid_request_body", `${param}: ${message}`, param);
}

export const Text = v.string();
export const Name = v.pipe(Text, v.nonEmpty("expected a text that is not empty"));
export const Flag = v.boolean();
export const Tokens = v.pipe(v.number(), v.integer(), v.minValue(1));
export const between = (low: number, high: number) => v.pipe(v.number(), v.minValue(low), v.maxValue(high));

/** Not v.record: that takes a list, too. */
export const Dictionary = v.custom<Record<string, unknown>>(
  (value) => typeof value === "object" && value !== null && !Array.isArray(value),
  (issue) => `Invalid type: Expected Object but received ${issue.received}`,
);

/** A list is checked as one and anything else as text, so that an error names the element and not the whole. */
export function textOr<S extends v.GenericSchema>(element: S) {
  return v.lazy((input) => (Array.isArray(input) ? v.array(element) : Text)) as v.GenericSchema<
    unknown,
    string | v.InferOutput<S>[]
  >;
}
