// Two schemas that both hold, as one: what allOf means, and keywords beside a $ref or an anyOf.
import { isObject } from "./schemaKeywords.ts";
import type { Schema, SchemaObject } from "./schemaKeywords.ts";

/** Thrown where two keywords cannot be made one. */
export class MergeError extends Error {
  readonly keyword: string;

  constructor(keyword: string) {
    super("two of them at once are not supported");
    this.keyword = keyword;
  }
}

type Merge = (a: never, b: never) => unknown;

const both = (a: Schema, b: Schema): Schema => ({ allOf: [a, b] });
const bothItems = (a: Schema, b: Schema): Schema => {
  if (Array.isArray(a) || Array.isArray(b)) throw new MergeError("items");
  return both(a, b);
};
const larger = (a: number, b: number) => Math.max(a, b);
const smaller = (a: number, b: number) => Math.min(a, b);

const merges: Record<string, Merge> = {
  required: (a: string[], b: string[]) => [...new Set([...a, ...b])],
  enum: (a: unknown[], b: unknown[]) =>
    a.filter((x) => b.some((y) => JSON.stringify(x) === JSON.stringify(y))),
  minimum: larger,
  exclusiveMinimum: larger,
  minLength: larger,
  minItems: larger,
  minProperties: larger,
  maximum: smaller,
  exclusiveMaximum: smaller,
  maxLength: smaller,
  maxItems: smaller,
  maxProperties: smaller,
  items: bothItems,
  additionalItems: both,
  propertyNames: both,
  multipleOf: (a: number, b: number) => {
    const [low, high] = [Math.min(a, b), Math.max(a, b)];
    if (!Number.isInteger(high / low)) throw new MergeError("multipleOf");
    return high;
  },
  uniqueItems: (a: boolean, b: boolean) => a || b,
  nullable: (a: boolean, b: boolean) => a && b,
  format: (a: string) => a,
};

/** Undefined where no value satisfies both. Throws MergeError. */
export function merge(a: SchemaObject, b: SchemaObject): SchemaObject | undefined {
  const [left, right] = [constAsEnum(a), constAsEnum(b)];
  const result: SchemaObject = { ...left, ...right };
  for (const keyword of Object.keys(left)) {
    if (!(keyword in right) || special.has(keyword)) continue;
    const [x, y] = [left[keyword], right[keyword]];
    const way = merges[keyword];
    if (way && typeof x === typeof y && Array.isArray(x) === Array.isArray(y))
      result[keyword] = way(x as never, y as never);
    else if (constrains(keyword) && JSON.stringify(x) !== JSON.stringify(y)) throw new MergeError(keyword);
  }
  // What "items" speaks of depends on the tuple beside it.
  if (hasTuple(left) !== hasTuple(right) && "items" in (hasTuple(left) ? right : left))
    throw new MergeError("items");
  if ("type" in left && "type" in right) {
    const types = commonTypes(typesOf(left), typesOf(right));
    if (types.length === 0) return undefined;
    result["type"] = types;
  }
  if (Array.isArray(result["enum"]) && result["enum"].length === 0) return undefined;
  return { ...result, ...mergedProperties(left, right) };
}

function hasTuple(schema: SchemaObject): boolean {
  return "prefixItems" in schema || Array.isArray(schema["items"]);
}

const special = new Set(["type", "properties", "additionalProperties"]);
const notes = /^(title|description|default|examples?|deprecated|readOnly|writeOnly|\$.*|definitions|x-.*)$/;

export function constrains(keyword: string): boolean {
  return !notes.test(keyword);
}

function constAsEnum(schema: SchemaObject): SchemaObject {
  if (!("const" in schema)) return schema;
  const { const: value, ...rest } = schema;
  return { ...rest, enum: [value] };
}

function typesOf({ type }: SchemaObject): string[] {
  return (Array.isArray(type) ? type : [type]).filter((each): each is string => typeof each === "string");
}

function commonTypes(a: readonly string[], b: readonly string[]): string[] {
  const has = (types: readonly string[], type: string) =>
    types.includes(type) || (type === "integer" && types.includes("number"));
  return [...new Set([...a.filter((type) => has(b, type)), ...b.filter((type) => has(a, type))])];
}

/** A property which only one of them names is one of the other's additional ones. */
function mergedProperties(a: SchemaObject, b: SchemaObject): SchemaObject {
  const [own, others] = [propertiesOf(a), propertiesOf(b)];
  const properties: Record<string, Schema> = {};
  for (const name of [
    ...Object.keys(own),
    ...Object.keys(others).filter((each) => !Object.hasOwn(own, each)),
  ])
    properties[name] = narrowed(
      Object.hasOwn(own, name) ? own[name]! : additional(a),
      Object.hasOwn(others, name) ? others[name]! : additional(b),
    );
  const more = "additionalProperties" in a || "additionalProperties" in b;
  return {
    ...("properties" in a || "properties" in b ? { properties } : {}),
    ...(more ? { additionalProperties: narrowed(additional(a), additional(b)) } : {}),
  };
}

function narrowed(a: Schema, b: Schema): Schema {
  if (a === false || b === false) return false;
  if (a === true) return b;
  return b === true || a === b ? a : both(a, b);
}

function propertiesOf({ properties }: SchemaObject): Record<string, Schema> {
  return isObject(properties) ? (properties as Record<string, Schema>) : {};
}

function additional({ additionalProperties }: SchemaObject): Schema {
  return (additionalProperties as Schema | undefined) ?? true;
}

/** Whether no value can satisfy both; false when that is not plain to see. `resolve` follows references. */
export function disjoint(a: Schema, b: Schema, resolve: (schema: Schema) => Schema, depth = 0): boolean {
  const [left, right] = [resolve(a), resolve(b)];
  if (!isObject(left) || !isObject(right) || depth > 4) return left === false || right === false;
  const [x, y] = [constAsEnum(left), constAsEnum(right)];
  if (Array.isArray(x["enum"]) && Array.isArray(y["enum"]))
    return x["enum"].every(
      (v) => !(y["enum"] as unknown[]).some((w) => JSON.stringify(v) === JSON.stringify(w)),
    );
  const [types, others] = [kindsOf(x), kindsOf(y)];
  if (types.length > 0 && others.length > 0 && commonTypes(types, others).length === 0) return true;
  const [own, theirs] = [propertiesOf(x), propertiesOf(y)];
  const required = (schema: SchemaObject, name: string) =>
    Array.isArray(schema["required"]) && schema["required"].includes(name);
  return Object.keys(own).some(
    (name) =>
      Object.hasOwn(theirs, name) &&
      required(x, name) &&
      required(y, name) &&
      disjoint(own[name]!, theirs[name]!, resolve, depth + 1),
  );
}

function kindsOf(schema: SchemaObject): string[] {
  if (!Array.isArray(schema["enum"])) return typesOf(schema);
  const kinds = schema["enum"].map((value: unknown) =>
    value === null ? "null" : Array.isArray(value) ? "array" : typeof value,
  );
  return [...new Set(kinds)];
}
