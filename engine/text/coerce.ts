// Parameters of an XML tool call are plain text; the tool's JSON schema says what each was meant to be.

import type { Tool } from "../serve/types.ts";
import { isObject } from "./files.ts";

export type JsonType = "string" | "integer" | "number" | "boolean" | "object" | "array" | "null";

/** The types that a tool's schema allows for a parameter; empty where it says nothing. */
export function parameterTypes(tool: Tool | undefined, parameter: string): Set<string> {
  const root = tool?.function.parameters;
  const properties = isObject(root) && isObject(root.properties) ? root.properties : {};
  const types = new Set<string>();
  const schema = Object.hasOwn(properties, parameter) ? properties[parameter] : undefined;
  collectTypes(schema, root, types, 0);
  return types;
}

/** A schema may refer to itself, so the depth is bounded. */
function collectTypes(schema: unknown, root: unknown, types: Set<string>, depth: number): void {
  if (!isObject(schema) || depth > 8) return;
  if (typeof schema.$ref === "string")
    collectTypes(followReference(root, schema.$ref), root, types, depth + 1);
  for (const type of Array.isArray(schema.type) ? schema.type : [schema.type])
    if (typeof type === "string") types.add(type);
  for (const key of ["anyOf", "oneOf", "allOf"])
    if (Array.isArray(schema[key]))
      for (const option of schema[key]) collectTypes(option, root, types, depth + 1);
  if (types.size === 0 && ("const" in schema || Array.isArray(schema.enum)))
    for (const value of "const" in schema ? [schema.const] : (schema.enum as unknown[]))
      types.add(typeOf(value));
}

/** Local references only: "#/$defs/Name". */
function followReference(root: unknown, reference: string): unknown {
  if (!reference.startsWith("#/")) return undefined;
  const keys = reference.slice(2).split("/");
  return keys.reduce<unknown>((at, key) => (isObject(at) ? at[key] : undefined), root);
}

function typeOf(value: unknown): JsonType {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  if (typeof value === "number") return Number.isInteger(value) ? "integer" : "number";
  return typeof value as JsonType;
}

/** True when a value needs no look at its end to be written: it can be streamed. */
export function isPlainString(types: ReadonlySet<string>): boolean {
  return types.size === 1 && types.has("string");
}

/**
 * The parameter's text as JSON. Numbers keep their digits (a 64-bit id would not survive a double). Text that is
 * none of the allowed types stays a string: the client's own validation tells the model.
 */
export function jsonOf(text: string, types: ReadonlySet<string>): string {
  const value = text.trim();
  const has = (...names: JsonType[]) => names.some((name) => types.has(name));
  if (isPlainString(types)) return JSON.stringify(text);
  if (/^(null|None)$/.test(value) && (has("null") || !has("string"))) return "null";
  if (has("integer", "number") && /^[-+]?\d+(\.0*)?$/.test(value)) return wholeNumber(value);
  if (has("number") && /^[-+]?[\d.]/.test(value) && Number.isFinite(Number(value)))
    return isJson(value) ? value : String(Number(value));
  if (has("boolean") && /^(true|false)$/i.test(value)) return value.toLowerCase();
  if (has("object") && value.startsWith("{") && isJson(value)) return value;
  if (has("array") && value.startsWith("[") && isJson(value)) return value;
  if (types.size === 0 && isJson(value)) return value;
  return JSON.stringify(text);
}

/** "+007.0" is 7. */
function wholeNumber(value: string): string {
  const digits = value
    .replace(/\.0*$/, "")
    .replace(/^[-+]/, "")
    .replace(/^0+(?=\d)/, "");
  return value.startsWith("-") && digits !== "0" ? `-${digits}` : digits;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
