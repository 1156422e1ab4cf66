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
import { Flattener, type Flat, type SchemaPlace } from "./flatten.ts";
import type { Grammar, Part } from "./grammar.ts";
import {
  anyMember,
  anyObject,
  anyString,
  anyValue,
  bracketed,
  comma,
  constant,
  jsonRules,
  listOf,
  member,
  quoted,
  stringBut,
} from "./json.ts";
import { numeric } from "./numeric.ts";
import { parseRegex, RegexError } from "./regex.ts";
import {
  countIn,
  expectSchema,
  fits,
  listIn,
  objectIn,
  readTypes,
  stringOf,
  wrong,
} from "./schemaKeywords.ts";
import type { JsonType, Schema, SchemaObject } from "./schemaKeywords.ts";
import { hasMatch, inQuotes, StringError, textOf, written, type Writing } from "./strings.ts";

/** Parts of schemas that one grammar may have, those counted again that are copied. */
const mostParts = 20_000;

/** Steps of a path: what is deeper is no schema that anybody wrote. */
const deepest = 400;

/** Keywords that change what is valid and that no grammar holds, by the type they speak of. */
const beyond = {
  any: ["not", "if", "$dynamicRef", "$recursiveRef"],
  array: ["contains", "uniqueItems"],
  object: ["dependentSchemas", "dependentRequired", "dependencies"],
};

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
  readonly #source: Flattener;
  readonly #rules: Rules;
  readonly #values = new Map<SchemaObject, string>();
  readonly #flats = new Map<SchemaObject, string>();

  constructor(place: SchemaPlace, rules: Rules) {
    this.#source = new Flattener(place, (path) => rules.count(path));
    this.#rules = rules;
  }

  root(): Part {
    return this.value(this.#source.root, this.#source.path);
  }

  /** The schema's alternatives. */
  rootFlats(): Flat[] {
    return this.flats(this.#source.root, this.#source.path);
  }

  flats(schema: Schema, path: string): Flat[] {
    return this.#source.flats(schema, path);
  }

  value(schema: Schema, path: string): Part {
    this.#rules.count(path);
    if (path.split(".").length > deepest) throw wrong(path, "the schema is nested too deeply");
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
    if (listed) return listedValues(listed.filter((value) => this.#fits(flat, types, value)));
    if (types) return choice(...types.map((type) => this.typed(flat, type)));
    this.#refuse(flat, "array");
    this.#refuse(flat, "object");
    return anyValue;
  }

  #refuse({ schema, path }: Flat, kind: keyof typeof beyond): void {
    for (const keyword of beyond[kind])
      if (schema[keyword] !== undefined && !(keyword === "uniqueItems" && schema[keyword] === false))
        this.#source.cannot(path, keyword);
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
      this.#source.cannot(path, keyword, error.message);
      return textOf({ minLength, maxLength, pattern: undefined, format: undefined }, writing);
    }
  }

  #array(flat: Flat): Part {
    const { schema, path } = flat;
    this.#refuse(flat, "array");
    const min = countIn(schema, "minItems", path) ?? 0;
    const max = countIn(schema, "maxItems", path) ?? Infinity;
    const tuple = Array.isArray(schema["items"]) ? "items" : "prefixItems"; // "items" until 2019
    const first = (this.#source.schemas(schema, tuple, path) ?? []).map((each, i) =>
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
      if (min > 1) this.#source.cannot(path, "minProperties", "names might repeat");
      if (more === anyMember && min === 0 && max === Infinity) return anyObject;
      return max < min ? nothing : bracketed("{", listOf(more, min, max), "}");
    }
    if (min > members.filter(({ required }) => required).length) this.#source.cannot(path, "minProperties");
    if (max < members.length || (max < Infinity && more)) this.#source.cannot(path, "maxProperties");
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
    return entries
      .map(([name, property]) => [name, this.#isName({ schema, path }, name) ? property : false] as const)
      .flatMap(([name, property]) => {
        const place = Object.hasOwn(properties, name)
          ? `${path}.properties.${name}`
          : `${path}.additionalProperties`;
        const one = this.#withPatterns({ schema, path }, name, expectSchema(property, place));
        const value = this.value(one, place);
        if (one === false && !required.has(name)) return [];
        return [{ name, value, required: required.has(name), schema: one, path: place }];
      });
  }

  /** What propertyNames says of a name: by keywords that can be tried out. */
  #isName({ schema, path }: Flat, name: string): boolean {
    if (schema["propertyNames"] === undefined) return true;
    const place = `${path}.propertyNames`;
    return this.flats(expectSchema(schema["propertyNames"], place), place).some((flat) => {
      this.#refuse(flat, "any");
      const listed = listedIn(flat);
      return (!listed || listed.includes(name)) && this.#fits(flat, readTypes(flat.schema, place), name);
    });
  }

  /** patternProperties speak of named properties, too. */
  #withPatterns({ schema, path }: Flat, name: string, property: Schema): Schema {
    const patterns = Object.entries(objectIn(schema, "patternProperties", path) ?? {});
    const meant = patterns.filter(([pattern]) => this.#hasMatch(pattern, name, path, "patternProperties"));
    if (meant.length === 0) return property;
    return {
      allOf: [
        property,
        ...meant.map(([pattern, each]) => expectSchema(each, `${path}.patternProperties.${pattern}`)),
      ],
    };
  }

  #fits(flat: Flat, types: readonly JsonType[] | undefined, value: unknown): boolean {
    return fits(flat.schema, types, value, (pattern, text) =>
      this.#hasMatch(pattern, text, flat.path, "pattern"),
    );
  }

  /** A pattern that we cannot follow counts as met, where the caller is not strict. */
  #hasMatch(pattern: string, text: string, path: string, keyword: string): boolean {
    try {
      return hasMatch(pattern, text);
    } catch (error) {
      if (!(error instanceof RegexError)) throw error;
      this.#source.cannot(path, keyword, error.message);
      return true;
    }
  }

  /** A member whose name the schema does not give, where such may come. */
  #moreMembers({ schema, path }: Flat): Part | undefined {
    const named = Object.keys(objectIn(schema, "properties", path) ?? {});
    const patterns = Object.entries(objectIn(schema, "patternProperties", path) ?? {});
    const additional = schema["additionalProperties"];
    if (patterns.length > 0) {
      if (schema["propertyNames"] !== undefined) this.#source.cannot(path, "propertyNames");
      const [[pattern, value]] = patterns as [[string, unknown]];
      if (named.length > 0) return undefined; // they may come, but need not
      if (patterns.length > 1) this.#source.cannot(path, "patternProperties", "names might fit two of them");
      const place = `${path}.patternProperties.${pattern}`;
      return member(this.#key(pattern, place), this.value(expectSchema(value, place), place));
    }
    const place = `${path}.additionalProperties`;
    const names = [...new Set([...named, ...((listIn(schema, "required", path) ?? []) as string[])])];
    if (additional === false || (additional === undefined && names.length > 0)) return undefined;
    if (schema["propertyNames"] !== undefined) {
      if (names.length > 0) return undefined;
      const keys = { allOf: [schema["propertyNames"], { type: "string" }] };
      return member(
        this.value(keys, `${path}.propertyNames`),
        this.value(expectSchema(additional ?? true, place), place),
      );
    }
    if ((additional ?? true) === true && names.length === 0) return anyMember;
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

function listedValues(values: readonly unknown[]): Part {
  const isScalar = (value: unknown) => typeof value !== "object" || value === null;
  const scalars = values.filter(isScalar).map((value) => JSON.stringify(value));
  return choice(oneOf(scalars), ...values.filter((value) => !isScalar(value)).map(constant));
}

/** The values that a schema lists. */
export function listedIn({ schema, path }: Flat): unknown[] | undefined {
  return "const" in schema ? [schema["const"]] : listIn(schema, "enum", path);
}
