// A schema as its alternatives: references followed, anyOf, oneOf and allOf resolved, so that each that is left speaks
// for itself.
import { constrains, disjoint, merge, MergeError } from "./merge.ts";
import { expectSchema, isObject, listIn, stringOf, wrong } from "./schemaKeywords.ts";
import type { Schema, SchemaObject } from "./schemaKeywords.ts";

/** A schema without references and alternatives, and where it stands. */
export interface Flat {
  schema: SchemaObject;
  path: string;
}

export interface SchemaPlace {
  schema: unknown;
  /** Of the request's body. */
  path: string;
  /** What cannot be held is an error. */
  strict: boolean;
}

const combining = ["$ref", "allOf", "anyOf", "oneOf", "unevaluatedProperties", "unevaluatedItems"];

export class Flattener {
  readonly root: Schema;
  readonly path: string;
  readonly #strict: boolean;
  readonly #count: (path: string) => void;

  /** `count` is told of every part that is looked at, and throws when they are too many. */
  constructor({ schema, path, strict }: SchemaPlace, count: (path: string) => void) {
    this.root = expectSchema(schema, path);
    this.path = path;
    this.#strict = strict;
    this.#count = count;
  }

  /** Refuses a keyword that the grammar will not hold, where the caller wants strictness. */
  cannot(path: string, keyword: string, why = "a grammar cannot enforce it"): void {
    if (this.#strict) throw wrong(`${path}.${keyword}`, `not supported here: ${why}`);
  }

  flats(schema: Schema, path: string, within: readonly SchemaObject[] = []): Flat[] {
    this.#count(path);
    if (typeof schema === "boolean") return schema ? [{ schema: {}, path }] : [];
    if (within.includes(schema)) throw wrong(path, "the schema refers to itself with nothing around it");
    if (!combining.some((keyword) => keyword in schema)) return [{ schema, path }];
    const groups = this.#groups(schema, path, [...within, schema]);
    const own = Object.entries(schema).filter(([keyword]) => !combining.includes(keyword));
    if (groups.length === 0 || own.some(([keyword]) => constrains(keyword)))
      groups.unshift([{ schema: Object.fromEntries(own), path }]);
    const merged = groups.reduce((lefts, rights) =>
      lefts.flatMap((left) => rights.flatMap((right) => this.#merged(left, right, path))),
    );
    return withRests(schema, merged);
  }

  /** The alternatives of each keyword that has some; one of every group must hold. */
  #groups(schema: SchemaObject, path: string, within: readonly SchemaObject[]): Flat[][] {
    const groups: Flat[][] = [];
    const reference = stringOf(schema, "$ref", path);
    if (reference !== undefined)
      groups.push(this.flats(this.#resolve(reference, `${path}.$ref`), path, within));
    for (const keyword of ["anyOf", "oneOf"]) {
      const options = this.schemas(schema, keyword, path);
      if (!options) continue;
      if (keyword === "oneOf" && !this.#areDisjoint(options))
        this.cannot(path, keyword, "its options overlap");
      groups.push(options.flatMap((each, i) => this.flats(each, `${path}.${keyword}.${i}`, within)));
    }
    for (const [i, each] of (this.schemas(schema, "allOf", path) ?? []).entries())
      groups.push(this.flats(each, `${path}.allOf.${i}`, within));
    return groups;
  }

  #merged(left: Flat, right: Flat, path: string): Flat[] {
    this.#count(path);
    try {
      const schema = merge(left.schema, right.schema);
      return schema ? [{ schema, path }] : [];
    } catch (error) {
      if (!(error instanceof MergeError)) throw error;
      this.cannot(path, error.keyword, error.message);
      return [left];
    }
  }

  /** A keyword's list of schemas. */
  schemas(schema: SchemaObject, keyword: string, path: string): Schema[] | undefined {
    return listIn(schema, keyword, path)?.map((each, i) => expectSchema(each, `${path}.${keyword}.${i}`));
  }

  #areDisjoint(options: readonly Schema[]): boolean {
    const resolve = (schema: Schema): Schema =>
      isObject(schema) && typeof schema["$ref"] === "string"
        ? this.#resolve(schema["$ref"], this.path)
        : schema;
    return options.every((a, i) => options.slice(i + 1).every((b) => disjoint(a, b, resolve)));
  }

  /** "#", or "#/" and a path. */
  #resolve(reference: string, path: string): Schema {
    const keys = /^#(\/.*)?$/.test(reference) ? reference.split("/").slice(1) : undefined;
    const found = keys
      ?.map((key) => unescaped(key))
      .reduce<unknown>(
        (at, key) => (isObject(at) || Array.isArray(at) ? (at as SchemaObject)[key] : undefined),
        this.root,
      );
    if (typeof found === "boolean" || isObject(found)) return found;
    if (this.#strict) throw wrong(path, `${JSON.stringify(reference)} is not found in this schema`);
    return true;
  }
}

function unescaped(key: string): string {
  let text = key;
  try {
    text = decodeURIComponent(key);
  } catch {
    // a per cent sign that escapes nothing stands for itself
  }
  return text.replaceAll("~1", "/").replaceAll("~0", "~");
}

/** unevaluatedProperties and -Items speak of what is left when all that stands beside them is one. */
function withRests(schema: SchemaObject, flats: Flat[]): Flat[] {
  const { unevaluatedProperties: properties, unevaluatedItems: items } = schema;
  if (properties === undefined && items === undefined) return flats;
  return flats.map(({ schema: flat, path }) => ({
    schema: {
      ...(properties === undefined ? {} : { additionalProperties: properties }),
      ...(items === undefined ? {} : { [Array.isArray(flat["items"]) ? "additionalItems" : "items"]: items }),
      ...flat,
    },
    path,
  }));
}
