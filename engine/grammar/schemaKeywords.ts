// What a JSON schema is made of, and how its keywords are read: with the path of what is wrong.
import { EngineError } from "../errors.ts";

export type SchemaObject = Record<string, unknown>;
export type Schema = boolean | SchemaObject;

/** The fault of a request, at a path of its body. */
export function wrong(path: string, message: string): EngineError {
  return new EngineError("bad_request", `${path}: ${message}`, { param: path });
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function expectSchema(value: unknown, path: string): Schema {
  if (typeof value === "boolean" || isObject(value)) return value;
  throw wrong(path, `expected a schema, got ${shown(value)}`);
}

export function numberOf(schema: SchemaObject, keyword: string, path: string): number | undefined {
  const value = schema[keyword];
  if (value === undefined || value === null) return undefined;
  if (typeof value === "number" && Number.isFinite(value)) return value;
  throw wrong(`${path}.${keyword}`, `expected a number, got ${shown(value)}`);
}

/** A count: a whole number, not below 0. */
export function countIn(schema: SchemaObject, keyword: string, path: string): number | undefined {
  const value = numberOf(schema, keyword, path);
  if (value === undefined || (Number.isInteger(value) && value >= 0)) return value;
  throw wrong(`${path}.${keyword}`, `expected a whole number, got ${value}`);
}

export function stringOf(schema: SchemaObject, keyword: string, path: string): string | undefined {
  const value = schema[keyword] ?? undefined;
  if (value === undefined || typeof value === "string") return value;
  throw wrong(`${path}.${keyword}`, `expected a string, got ${shown(value)}`);
}

export function listIn(schema: SchemaObject, keyword: string, path: string): unknown[] | undefined {
  const value = schema[keyword] ?? undefined;
  if (value === undefined || Array.isArray(value)) return value;
  throw wrong(`${path}.${keyword}`, `expected a list, got ${shown(value)}`);
}

export function objectIn(schema: SchemaObject, keyword: string, path: string): SchemaObject | undefined {
  const value = schema[keyword] ?? undefined;
  if (value === undefined || isObject(value)) return value;
  throw wrong(`${path}.${keyword}`, `expected an object, got ${shown(value)}`);
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

const knownTypes = ["null", "boolean", "integer", "number", "string", "array", "object"] as const;
export type JsonType = (typeof knownTypes)[number];

/** What tells the type of a schema that does not say it. */
const tells: Partial<Record<JsonType, RegExp>> = {
  object:
    /^(properties|required|additionalProperties|patternProperties|minProperties|maxProperties|propertyNames)$/,
  array: /^(items|prefixItems|minItems|maxItems|uniqueItems|contains)$/,
  string: /^(minLength|maxLength|pattern|format)$/,
  number: /^(minimum|maximum|exclusiveMinimum|exclusiveMaximum|multipleOf)$/,
};

/** The types that a schema allows; undefined where it allows any and says nothing of one. */
export function readTypes(schema: SchemaObject, path: string): JsonType[] | undefined {
  const { type } = schema;
  if (type === undefined || type === null) {
    const told = Object.entries(tells).find(([, keyword]) =>
      Object.keys(schema).some((key) => keyword.test(key)),
    );
    return told && withNull([told[0] as JsonType], schema);
  }
  const types = Array.isArray(type) ? type : [type];
  for (const each of types)
    if (!knownTypes.includes(each as JsonType))
      throw wrong(`${path}.type`, `there is no type ${shown(each)}`);
  return withNull([...new Set(types as JsonType[])], schema);
}

/** OpenAPI's way to say that a value may be null. */
function withNull(types: JsonType[], schema: SchemaObject): JsonType[] {
  return schema["nullable"] === true && !types.includes("null") ? [...types, "null"] : types;
}

function typeOf(value: unknown): JsonType {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  if (typeof value === "number") return Number.isInteger(value) ? "integer" : "number";
  return typeof value as JsonType;
}

/**
 * Whether a value listed in an enum fits the simple keywords beside it. `matches` tries a pattern: not the runtime's
 * RegExp, which a hostile one would hold up for ever.
 */
export function fits(
  schema: SchemaObject,
  types: readonly JsonType[] | undefined,
  value: unknown,
  matches: (pattern: string, text: string) => boolean,
): boolean {
  const type = typeOf(value);
  if (types && !types.includes(type) && !(type === "integer" && types.includes("number"))) return false;
  const limit = (keyword: string) => (typeof schema[keyword] === "number" ? schema[keyword] : undefined);
  if (typeof value === "number")
    return (
      value >= (limit("minimum") ?? -Infinity) &&
      value <= (limit("maximum") ?? Infinity) &&
      value > (limit("exclusiveMinimum") ?? -Infinity) &&
      value < (limit("exclusiveMaximum") ?? Infinity)
    );
  if (typeof value !== "string") return true;
  const length = [...value].length;
  const { pattern } = schema;
  return (
    length >= (limit("minLength") ?? 0) &&
    length <= (limit("maxLength") ?? Infinity) &&
    (typeof pattern !== "string" || matches(pattern, value))
  );
}
