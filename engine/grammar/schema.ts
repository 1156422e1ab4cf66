// JSON schemas as grammars. What a schema asks for and a grammar cannot hold is refused by its path where the caller
// wants strictness, and left to the model where not. Properties come in the schema's order, and beside those that a
// schema names only such as it asks for: a part of what JSON Schema allows, every value of which is valid.
import {
  choice,
  empty,
  isNothing,
  literal,
  nothing,
  oneOf,
  optional,
  pruned,
  repeat,
  rule,
  seq,
} from "./grammar.ts";
import type { Grammar, Part } from "./grammar.ts";
import {
  anyMember,
  anyObject,
  anyString,
  anyValue,
  bracketed,
  comma,
  jsonRules,
  listOf,
  member,
  quoted,
  stringBut,
} from "./json.ts";
import { constrains, disjoint, merge, MergeError } from "./merge.ts";
import { numeric } from "./numeric.ts";
import { parseRegex, RegexError } from "./regex.ts";
import {
  countIn,
  expectSchema,
  fits,
  isObject,
  listIn,
  objectIn,
  readTypes,
  stringOf,
  wrong,
} from "./schemaKeywords.ts";
import type { JsonType, Schema, SchemaObject } from "./schemaKeywords.ts";
import { inQuotes, StringError, textOf, written, type Writing } from "./strings.ts";

/** Parts of schemas that one grammar may have, those counted again that are copied. */
const mostParts = 20_000;

/** A schema without references and alternatives, and where it stands. */
export interface Flat {
  schema: SchemaObject;
  path: string;
}

const combining = ["$ref", "allOf", "anyOf", "oneOf"];

/** Keywords that change what is valid and that no grammar holds, by the type they speak of. */
const beyond: Record<string, readonly string[]> = {
  any: ["not", "if", "$dynamicRef", "$recursiveRef"],
  array: ["contains", "uniqueItems", "unevaluatedItems"],
  object: ["dependentSchemas", "dependentRequired", "dependencies", "propertyNames"],
};

export interface SchemaPlace {
  schema: unknown;
  /** Of the request's body. */
  path: string;
  /** What cannot be held is an error. */
  strict: boolean;
}

/** The rules of one grammar, which several schemas may add to. */
export class Rules {
  readonly map = new Map(jsonRules);
  #parts = 0;

  /** A new rule's name; what it stands for is set later, as it may contain itself. */
  name(path: string): string {
    return `${path}#${this.map.size}`;
  }

  count(path: string): void {
    this.#parts += 1;
    if (this.#parts > mostParts)
      throw wrong(path, `the schema is too large: it has more than ${mostParts} parts`);
  }
}

/** The values of one schema. Errors: bad_request with the path of what is wrong or not supported. */
export function schemaGrammar(place: SchemaPlace): Grammar {
  const rules = new Rules();
  const root = new SchemaReader(place, rules).root();
  const grammar = pruned({ root, rules: rules.map });
  if (isNothing(grammar.root)) throw wrong(place.path, "no value satisfies this schema");
  return grammar;
}

export class SchemaReader {
  readonly #root: Schema;
  readonly #path: string;
  readonly #strict: boolean;
  readonly #rules: Rules;
  readonly #values = new Map<SchemaObject, string>();
  readonly #flats = new Map<SchemaObject, string>();

  constructor({ schema, path, strict }: SchemaPlace, rules: Rules) {
    this.#root = expectSchema(schema, path);
    this.#path = path;
    this.#strict = strict;
    this.#rules = rules;
  }

  root(): Part {
    return this.value(this.#root, this.#path);
  }

  /** The schema's alternatives. */
  rootFlats(): Flat[] {
    return this.flats(this.#root, this.#path);
  }

  value(schema: Schema, path: string): Part {
    this.#rules.count(path);
    if (schema === true) return anyValue;
    if (schema === false) return nothing;
    const known = this.#values.get(schema);
    if (known !== undefined) return rule(known);
    const name = this.#rules.name(path);
    this.#values.set(schema, name);
    this.#rules.map.set(name, nothing);
    this.#rules.map.set(name, choice(...this.flats(schema, path).map((flat) => this.#flatRule(flat))));
    return rule(name);
  }

  /** Follows references, anyOf, oneOf and allOf until only alternatives without them are left. */
  flats(schema: Schema, path: string, within: readonly SchemaObject[] = []): Flat[] {
    this.#rules.count(path);
    if (typeof schema === "boolean") return schema ? [{ schema: {}, path }] : [];
    if (within.includes(schema)) throw wrong(path, "the schema refers to itself with nothing around it");
    const inner = [...within, schema];
    const own = Object.entries(schema).filter(([keyword]) => !combining.includes(keyword));
    const groups: Flat[][] = [];
    const reference = stringOf(schema, "$ref", path);
    if (reference !== undefined)
      groups.push(this.flats(this.#resolve(reference, `${path}.$ref`), path, inner));
    for (const keyword of ["anyOf", "oneOf"] as const) {
      const options = this.#schemas(schema, keyword, path);
      if (keyword === "oneOf" && !this.#areDisjoint(options))
        this.#cannot(path, keyword, "its options overlap");
      if (options)
        groups.push(options.flatMap((each, i) => this.flats(each, `${path}.${keyword}.${i}`, inner)));
    }
    for (const [i, each] of (this.#schemas(schema, "allOf", path) ?? []).entries())
      groups.push(this.flats(each, `${path}.allOf.${i}`, inner));
    if (groups.length === 0) return [{ schema, path }];
    if (own.some(([keyword]) => constrains(keyword)))
      groups.unshift([{ schema: Object.fromEntries(own), path }]);
    return groups.reduce((lefts, rights) =>
      lefts.flatMap((left) => rights.flatMap((right) => this.#merged(left, right, path))),
    );
  }

  #merged(left: Flat, right: Flat, path: string): Flat[] {
    this.#rules.count(path);
    try {
      const schema = merge(left.schema, right.schema);
      return schema ? [{ schema, path }] : [];
    } catch (error) {
      if (!(error instanceof MergeError)) throw error;
      this.#cannot(path, error.keyword, error.message);
      return [left];
    }
  }

  #schemas(schema: SchemaObject, keyword: string, path: string): Schema[] | undefined {
    return listIn(schema, keyword, path)?.map((each, i) => expectSchema(each, `${path}.${keyword}.${i}`));
  }

  #areDisjoint(options: readonly Schema[] = []): boolean {
    const resolve = (schema: Schema): Schema =>
      isObject(schema) && typeof schema["$ref"] === "string"
        ? this.#resolve(schema["$ref"], this.#path)
        : schema;
    return options.every((a, i) => options.slice(i + 1).every((b) => disjoint(a, b, resolve)));
  }

  /** "#", or "#/" and a path. */
  #resolve(reference: string, path: string): Schema {
    const keys = /^#(\/.*)?$/.test(reference) ? reference.split("/").slice(1) : undefined;
    const found = keys
      ?.map((key) => decodeURIComponent(key).replaceAll("~1", "/").replaceAll("~0", "~"))
      .reduce<unknown>(
        (at, key) => (isObject(at) || Array.isArray(at) ? (at as SchemaObject)[key] : undefined),
        this.#root,
      );
    if (typeof found === "boolean" || isObject(found)) return found;
    if (this.#strict) throw wrong(path, `${JSON.stringify(reference)} is not found in this schema`);
    return true;
  }

  #cannot(path: string, keyword: string, why = "a grammar cannot enforce it"): void {
    if (this.#strict) throw wrong(`${path}.${keyword}`, `not supported here: ${why}`);
  }

  #flatRule({ schema, path }: Flat): Part {
    const known = this.#flats.get(schema);
    if (known !== undefined) return rule(known);
    const name = this.#rules.name(path);
    this.#flats.set(schema, name);
    this.#rules.map.set(name, nothing);
    this.#rules.map.set(name, this.#flatValue({ schema, path }));
    return rule(name);
  }

  #flatValue(flat: Flat): Part {
    const { schema, path } = flat;
    this.#refuse(flat, "any");
    const types = readTypes(schema, path);
    const listed = listedIn(flat);
    if (listed)
      return oneOf(
        listed.filter((value) => fits(schema, types, value)).map((value) => JSON.stringify(value)),
      );
    if (!types) return anyValue;
    return choice(...types.map((type) => this.typed(flat, type)));
  }

  #refuse({ schema, path }: Flat, kind: string): void {
    for (const keyword of beyond[kind] ?? [])
      if (schema[keyword] !== undefined && schema[keyword] !== false) this.#cannot(path, keyword);
  }

  typed(flat: Flat, type: JsonType): Part {
    switch (type) {
      case "null":
        return literal("null");
      case "boolean":
        return choice(literal("true"), literal("false"));
      case "integer":
        return numeric(flat.schema, true, flat.path);
      case "number":
        return numeric(flat.schema, false, flat.path);
      case "string": {
        const text = this.text(flat, inQuotes);
        return text ? quoted(text) : anyString;
      }
      case "array":
        return this.#array(flat);
      case "object":
        return this.#object(flat);
    }
  }

  /** A string's text; undefined where any will do. */
  text({ schema, path }: Flat, writing: Writing): Part | undefined {
    const minLength = countIn(schema, "minLength", path) ?? 0;
    const maxLength = countIn(schema, "maxLength", path) ?? Infinity;
    const pattern = stringOf(schema, "pattern", path);
    const format = stringOf(schema, "format", path);
    try {
      return textOf({ minLength, maxLength, pattern, format }, writing);
    } catch (error) {
      const keyword = error instanceof StringError ? error.keyword : "pattern";
      if (!(error instanceof RegexError || error instanceof StringError)) throw error;
      this.#cannot(path, keyword, error.message);
      return textOf({ minLength, maxLength, pattern: undefined, format: undefined }, writing);
    }
  }

  #array(flat: Flat): Part {
    const { schema, path } = flat;
    this.#refuse(flat, "array");
    const min = countIn(schema, "minItems", path) ?? 0;
    const max = countIn(schema, "maxItems", path) ?? Infinity;
    const tuple = Array.isArray(schema["items"]) ? "items" : "prefixItems"; // "items" until 2019
    const first = (this.#schemas(schema, tuple, path) ?? []).map((each, i) =>
      this.value(each, `${path}.${tuple}.${i}`),
    );
    const others = tuple === "items" ? "additionalItems" : "items";
    const each = this.value(expectSchema(schema[others] ?? true, `${path}.${others}`), `${path}.${others}`);
    if (max < min) return nothing;
    if (first.length === 0) return bracketed("[", max === 0 ? empty : listOf(each, min, max), "]");
    const more = repeat(seq(comma, each), Math.max(0, min - first.length), Math.max(0, max - first.length));
    const from = (i: number): Part => {
      if (i >= max) return empty;
      if (i === first.length) return more;
      const part = seq(...(i === 0 ? [] : [comma]), first[i]!, from(i + 1));
      return i < min ? part : optional(part);
    };
    return bracketed("[", from(0), "]");
  }

  #object(flat: Flat): Part {
    const { schema, path } = flat;
    this.#refuse(flat, "object");
    const members = this.members(flat).map(({ name, value, required }) => ({
      part: member(literal(JSON.stringify(name)), value),
      required,
    }));
    const more = this.#moreMembers(flat);
    const [min, max] = [
      countIn(schema, "minProperties", path) ?? 0,
      countIn(schema, "maxProperties", path) ?? Infinity,
    ];
    if (members.length === 0) {
      if (more === undefined) return min > 0 ? nothing : bracketed("{", empty, "}");
      if (min > 1) this.#cannot(path, "minProperties", "names might repeat");
      if (more === anyMember && min === 0 && max === Infinity) return anyObject;
      return max < min ? nothing : bracketed("{", listOf(more, min, max), "}");
    }
    if (min > members.filter(({ required }) => required).length) this.#cannot(path, "minProperties");
    if (max < members.length || (max < Infinity && more)) this.#cannot(path, "maxProperties");
    return bracketed("{", this.#inOrder(members, more, path), "}");
  }

  /** Members in their order, those not required at will, and then any number of others. */
  #inOrder(
    members: readonly { part: Part; required: boolean }[],
    more: Part | undefined,
    path: string,
  ): Part {
    const others = more ? repeat(seq(comma, more)) : empty;
    const alone = more ? optional(seq(more, others)) : empty;
    let behind = others; // what may come once there is a member
    let first: Part = alone; // what may come before there is one
    for (const { part, required } of members.toReversed()) {
      const after = behind;
      const name = this.#rules.name(path);
      const next = seq(comma, part, after);
      this.#rules.map.set(name, required ? next : choice(next, after));
      behind = rule(name);
      first = required ? seq(part, after) : choice(seq(part, after), first);
    }
    return first;
  }

  /** The named properties that may come. */
  members({
    schema,
    path,
  }: Flat): { name: string; value: Part; required: boolean; schema: Schema; path: string }[] {
    const properties = objectIn(schema, "properties", path) ?? {};
    const required = new Set(listIn(schema, "required", path) as string[] | undefined);
    const unnamed = [...required].filter((name) => !Object.hasOwn(properties, name));
    const additional = schema["additionalProperties"] ?? true;
    const entries = [...Object.entries(properties), ...unnamed.map((name) => [name, additional] as const)];
    return entries.flatMap(([name, property]) => {
      const place = Object.hasOwn(properties, name)
        ? `${path}.properties.${name}`
        : `${path}.additionalProperties`;
      const one = this.#withPatterns({ schema, path }, name, expectSchema(property, place));
      const value = this.value(one, place);
      if (one === false && !required.has(name)) return [];
      return [{ name, value, required: required.has(name), schema: one, path: place }];
    });
  }

  /** patternProperties speak of named properties, too. */
  #withPatterns({ schema, path }: Flat, name: string, property: Schema): Schema {
    const patterns = Object.entries(objectIn(schema, "patternProperties", path) ?? {});
    const meant = patterns.filter(([pattern]) => this.#regex(pattern, path).test(name));
    if (meant.length === 0) return property;
    return {
      allOf: [
        property,
        ...meant.map(([pattern, each]) => expectSchema(each, `${path}.patternProperties.${pattern}`)),
      ],
    };
  }

  #regex(pattern: string, path: string): RegExp {
    try {
      return new RegExp(pattern, "u");
    } catch (error) {
      throw wrong(`${path}.patternProperties`, (error as Error).message);
    }
  }

  /** A member whose name the schema does not give, where such may come. */
  #moreMembers({ schema, path }: Flat): Part | undefined {
    const named = Object.keys(objectIn(schema, "properties", path) ?? {});
    const patterns = Object.entries(objectIn(schema, "patternProperties", path) ?? {});
    const additional = schema["additionalProperties"];
    if (patterns.length > 0) {
      const [[pattern, value]] = patterns as [[string, unknown]];
      if (named.length > 0) return undefined; // they may come, but need not
      if (patterns.length > 1) this.#cannot(path, "patternProperties", "names might fit two of them");
      const place = `${path}.patternProperties.${pattern}`;
      return member(this.#key(pattern, place), this.value(expectSchema(value, place), place));
    }
    const names = [...new Set([...named, ...((listIn(schema, "required", path) ?? []) as string[])])];
    if (additional === false || (additional === undefined && names.length > 0)) return undefined;
    if ((additional ?? true) === true && names.length === 0) return anyMember;
    const place = `${path}.additionalProperties`;
    return member(stringBut(names), this.value(expectSchema(additional, place), place));
  }

  #key(pattern: string, place: string): Part {
    try {
      return quoted(written(parseRegex(pattern), inQuotes));
    } catch (error) {
      if (!(error instanceof RegexError)) throw error;
      throw wrong(place, error.message);
    }
  }
}

/** The values that a schema lists. */
export function listedIn({ schema, path }: Flat): unknown[] | undefined {
  return "const" in schema ? [schema["const"]] : listIn(schema, "enum", path);
}
