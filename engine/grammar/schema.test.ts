// Every answer drawn at random under a schema must satisfy it, says a validator of others; what people write must be
// allowed; and what a grammar cannot hold is refused by its path.
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { Grammars } from "./matcher.ts";
import { schemaGrammar } from "./schema.ts";
import { accepter, draw, generator, logits, validator, vocabulary } from "./walk.fixture.ts";

const strict = (schema: unknown) => schemaGrammar({ schema, path: "schema", strict: true });
const lenient = (schema: unknown) => schemaGrammar({ schema, path: "schema", strict: false });

const person = {
  type: "object",
  properties: { name: { type: "string" }, age: { type: "integer" } },
  required: ["name"],
  additionalProperties: false,
};
const tree = {
  $ref: "#/$defs/node",
  $defs: {
    node: {
      type: "object",
      properties: {
        value: { type: "integer" },
        children: { type: "array", items: { $ref: "#/$defs/node" }, maxItems: 2 },
      },
      required: ["value"],
    },
  },
};
const shape = {
  oneOf: [
    {
      type: "object",
      properties: { kind: { const: "circle" }, r: { type: "number" } },
      required: ["kind", "r"],
    },
    {
      type: "object",
      properties: { kind: { enum: ["square", "cube"] }, a: { type: "number" } },
      required: ["kind", "a"],
    },
    { type: "null" },
  ],
};

/** A schema, values it must allow, and values it must not. */
const cases: [string, unknown, unknown[], unknown[]][] = [
  [
    "an object",
    person,
    [{ name: "Ann" }, { name: "Ann", age: 7 }],
    [{}, { age: 7, name: "Ann" }, { name: "A", x: 1 }],
  ],
  ["nothing but type", { type: "object" }, [{}, { a: [1, { b: null }] }], [[], 1]],
  ["any value", {}, [1, "a", null, [], {}, [{ a: true }]], []],
  ["true and false inside", { properties: { a: true, b: false } }, [{}, { a: 1 }], [{ b: 1 }]],
  ["a tree", tree, [{ value: 1 }, { value: 1, children: [{ value: 2, children: [] }] }], [{ children: [] }]],
  ["the whole inside itself", { properties: { a: { $ref: "#" } } }, [{}, { a: { a: {} } }], [{ a: 1 }]],
  [
    "one of several shapes",
    shape,
    [{ kind: "circle", r: 1.5 }, { kind: "cube", a: 2 }, null],
    [{ kind: "circle", a: 1 }],
  ],
  ["nullable", { type: ["string", "null"], maxLength: 3 }, ["abc", null], ["abcd", 1]],
  ["nullable, as OpenAPI has it", { type: "integer", nullable: true, minimum: 3 }, [3, null], [2]],
  [
    "an enum",
    { enum: ["a", "ab", 'é"\n', 1, 1.5, null, [1], { b: 2 }] },
    ["a", "ab", 1.5, null, [1], { b: 2 }, 'é"\n'],
    ["b"],
  ],
  ["an enum and a type", { type: "string", enum: ["a", 1, "long"], maxLength: 2 }, ["a"], [1, "long"]],
  ["a const", { const: { a: [1, "x"] } }, [{ a: [1, "x"] }], [{ a: [1] }]],
  ["whole numbers", { type: "integer" }, [0, -7, 12345678901234], [1.5, "1"]],
  ["numbers", { type: "number" }, [0, -7.25, 1e21, 1.5e-7], ["1", null]],
  [
    "whole numbers in bounds",
    { type: "integer", minimum: -12, exclusiveMaximum: 130 },
    [-12, 0, 129],
    [-13, 130],
  ],
  [
    "numbers in bounds",
    { type: "number", exclusiveMinimum: 0, maximum: 2.5 },
    [0.000001, 1, 2.5],
    [0, 2.51, -1],
  ],
  ["bounds of draft 4", { type: "number", minimum: 0, exclusiveMinimum: true }, [0.5], [0]],
  ["bounds that are large", { type: "integer", minimum: 1e20 }, [1e20], [5]],
  ["steps", { type: "number", multipleOf: 0.25, minimum: -1 }, [-1, 0.25, 7.5, 3], [0.3, -1.25]],
  ["whole steps of a half", { type: "integer", multipleOf: 2.5 }, [5, -10], [2, 7]],
  ["a text", { type: "string" }, ["", 'a"b\\c\n\t\u0001', "🙂é"], [1]],
  [
    "lengths",
    { type: "string", minLength: 2, maxLength: 4 },
    ["ab", "🙂🙂🙂🙂", '"\\\n'],
    ["a", "abcde", "🙂"],
  ],
  ["a length of thousands", { type: "string", maxLength: 5000 }, ["x".repeat(5000)], ["x".repeat(5001)]],
  ["a pattern", { type: "string", pattern: "^[A-Z]{2}-\\d+$" }, ["AB-12"], ["Ab-12", "AB-"]],
  ["a pattern anywhere", { type: "string", pattern: "\\d" }, ["7", 'ab7"c'], ["abc"]],
  ["a pattern of what is escaped", { type: "string", pattern: '^[\\n"\\\\]+$' }, ['"\\\n'], ["a"]],
  [
    "a pattern and lengths",
    { type: "string", pattern: "^a[b-d]*$", minLength: 3, maxLength: 5 },
    ["abc", "abcdb"],
    ["ab", "abbbbb"],
  ],
  ["a pattern that has its lengths", { type: "string", pattern: "^\\d{3}$", maxLength: 10 }, ["123"], ["12"]],
  ["a list", { type: "array", items: { type: "integer" } }, [[], [1], [1, 2, 3]], [["a"]]],
  [
    "a list of 2 to 3",
    { type: "array", items: {}, minItems: 2, maxItems: 3 },
    [
      [1, "a"],
      [1, 2, 3],
    ],
    [[1], [1, 2, 3, 4]],
  ],
  ["an empty list", { type: "array", maxItems: 0 }, [[]], [[1]]],
  [
    "a tuple",
    { type: "array", prefixItems: [{ type: "string" }, { type: "integer" }], items: false, minItems: 1 },
    [["a"], ["a", 1]],
    [[], [1], ["a", 1, 2]],
  ],
  [
    "a tuple and more",
    { type: "array", prefixItems: [{ type: "string" }], items: { type: "null" }, maxItems: 3 },
    [[], ["a", null, null]],
    [
      ["a", 1],
      ["a", null, null, null],
    ],
  ],
  [
    "a tuple of draft 7",
    { type: "array", items: [{ type: "string" }], additionalItems: { type: "integer" } },
    [["a", 1]],
    [["a", "b"]],
  ],
  [
    "other properties",
    { properties: { a: { type: "integer" } }, additionalProperties: { type: "string" } },
    [{ a: 1, b: "x" }, { ab: "x" }],
    [{ a: "x" }, { b: 1 }],
  ],
  [
    "a map",
    { type: "object", additionalProperties: { type: "integer" } },
    [{}, { a: 1, b: 2 }],
    [{ a: "x" }],
  ],
  [
    "a map of 1 to 2",
    { type: "object", additionalProperties: { type: "integer" }, minProperties: 1, maxProperties: 2 },
    [{ a: 1 }],
    [{}, { a: 1, b: 2, c: 3 }],
  ],
  [
    "a map with a pattern for names",
    { type: "object", patternProperties: { "^x-": { type: "integer" } }, additionalProperties: false },
    [{}, { "x-a": 1 }],
    [{ a: 1 }, { "x-a": "b" }],
  ],
  [
    "a pattern for names that are given",
    {
      properties: { xa: { minimum: 5 } },
      patternProperties: { "^x": { type: "integer" } },
      required: ["xa"],
    },
    [{ xa: 5 }],
    [{ xa: 4 }, { xa: 5.5 }],
  ],
  [
    "names of a set",
    { type: "object", propertyNames: { enum: ["a", "b"] }, additionalProperties: { type: "integer" } },
    [{ a: 1 }],
    [{ c: 1 }],
  ],
  ["required, not declared", { type: "object", required: ["a", "b"] }, [{ a: 1, b: "x" }], [{ a: 1 }]],
  [
    "allOf",
    {
      allOf: [
        { properties: { a: { type: "integer" } }, required: ["a"] },
        { properties: { a: { minimum: 3 }, b: { type: "null" } } },
      ],
    },
    [{ a: 3, b: null }],
    [{ a: 2 }, { b: null }],
  ],
  [
    "keywords beside anyOf",
    { type: "object", properties: { a: {}, b: {} }, anyOf: [{ required: ["a"] }, { required: ["b"] }] },
    [{ a: 1 }, { b: 1 }, { a: 1, b: 1 }],
    [{}],
  ],
  [
    "keywords beside $ref",
    { $ref: "#/$defs/n", maximum: 9, $defs: { n: { type: "integer", minimum: 7 } } },
    [7, 9],
    [6, 10],
  ],
  [
    "unevaluatedProperties",
    { allOf: [{ properties: { a: { type: "null" } } }], unevaluatedProperties: false },
    [{ a: null }],
    [{ b: 1 }],
  ],
  [
    "names with special characters",
    { properties: { 'a"b\\\n': { type: "null" }, "é~/": { type: "null" } }, required: ['a"b\\\n'] },
    [{ 'a"b\\\n': null, "é~/": null }],
    [{}],
  ],
  ["a reference with escapes", { $ref: "#/$defs/a~1b%25", $defs: { "a/b%": { type: "null" } } }, [null], [1]],
  ["an email", { type: "string", format: "email" }, ["ann.b@example.com"], ["ann"]],
  [
    "a time",
    { type: "string", format: "date-time" },
    ["2024-02-29T23:59:59Z", "2023-12-31T00:00:00.123+02:00"],
    ["2023-02-29T00:00:00Z", "2024-01-01"],
  ],
  ["a UUID", { type: "string", format: "uuid" }, ["123e4567-e89b-42d3-a456-426614174000"], ["123"]],
  ["an address", { type: "string", format: "ipv6" }, ["2001:db8::1", "1:2:3:4:5:6:7:8"], ["1.2.3.4"]],
  ["a URI", { type: "string", format: "uri" }, ["https://example.com/a?b=c#d"], ["example"]],
];

describe.each(cases)("%s", (_, schema, good, bad) => {
  test("what is drawn satisfies the schema", () => {
    // No validator knows draft 4 any more.
    const isDraft4 = JSON.stringify(schema).includes('"exclusiveMinimum":true');
    const valid = isDraft4 ? (value: unknown) => (value as number) > 0 : validator(schema);
    const grammars = new Grammars(vocabulary, logits);
    const named = { key: "g", grammar: strict(schema) };
    let drawn = 0;
    for (let n = 0; n < 40; n++) {
      const text = draw(grammars.open(named), generator(n));
      if (text === undefined) continue;
      drawn += 1;
      const value = JSON.parse(text) as unknown;
      expect(valid(value), text).toBe(true);
    }
    const isSearch = JSON.stringify(schema).includes('"\\\\d"') || JSON.stringify(schema).includes("5000");
    expect(drawn).toBeGreaterThan(isSearch ? 0 : 20);
  });

  test("what people write is allowed, in three layouts; what is wrong is not", () => {
    const accepts = accepter(strict(schema));
    for (const value of good)
      for (const text of [JSON.stringify(value), JSON.stringify(value, undefined, 2), spaced(value)])
        expect(accepts(text), text).toBe(true);
    for (const value of bad) expect(accepts(JSON.stringify(value)), JSON.stringify(value)).toBe(false);
  });
});

/** As Python writes it. */
function spaced(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(spaced).join(", ")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  return `{${Object.entries(value)
    .map(([key, each]) => `${JSON.stringify(key)}: ${spaced(each)}`)
    .join(", ")}}`;
}

test("formats: every one that the validator knows", () => {
  for (const format of [
    "date",
    "time",
    "date-time",
    "duration",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "uri",
    "uri-reference",
    "uri-template",
    "uuid",
    "json-pointer",
    "relative-json-pointer",
    "regex",
    "url",
  ]) {
    const schema = { type: "string", format };
    const valid = validator(schema);
    const grammars = new Grammars(vocabulary, logits);
    for (let n = 0; n < 40; n++) {
      const text = draw(grammars.open({ key: "g", grammar: strict(schema) }), generator(n))!;
      expect(valid(JSON.parse(text)), `${format}: ${text}`).toBe(true);
    }
  }
});

test("schemas as zod writes them", () => {
  const schema = z.toJSONSchema(
    z.object({
      id: z.uuid(),
      count: z.int().positive(),
      share: z.number().min(0).max(1).multipleOf(0.125),
      tags: z.array(z.string().max(12)).min(1).max(3),
      labels: z.record(z.string(), z.boolean()),
      counts: z.record(z.enum(["a", "b"]), z.int()),
      when: z.iso.datetime(),
      shape: z.discriminatedUnion("kind", [
        z.object({ kind: z.literal("circle"), r: z.number() }),
        z.object({ kind: z.literal("square"), a: z.number() }),
      ]),
      pair: z.tuple([z.string(), z.boolean()]),
      note: z.string().nullable(),
      more: z.optional(z.literal([1, "x"])),
    }),
  );
  const valid = validator(schema);
  const grammars = new Grammars(vocabulary, logits);
  const named = { key: "g", grammar: strict(schema) };
  let drawn = 0;
  for (let n = 0; n < 30; n++) {
    const text = draw(grammars.open(named), generator(n), 3000);
    if (text === undefined) continue;
    drawn += 1;
    expect(valid(JSON.parse(text)), text).toBe(true);
  }
  expect(drawn).toBeGreaterThan(15);
});

const object = (properties: object) => ({ type: "object", properties });

test.each<[string, unknown, string, string]>([
  ["not a schema", 5, "schema", "expected a schema, got 5"],
  ["a type that is none", object({ a: { type: "int" } }), "schema.properties.a.type", 'no type "int"'],
  [
    "a bound that is none",
    object({ a: { type: "integer", minimum: "3" } }),
    "schema.properties.a.minimum",
    'got "3"',
  ],
  ["a count that is none", { type: "array", minItems: -1 }, "schema.minItems", "whole number"],
  ["properties that are none", { properties: [] }, "schema.properties", "expected an object"],
  ["required that is none", { type: "object", required: "a" }, "schema.required", "expected a list"],
  ["anyOf that is none", { anyOf: [{}, 7] }, "schema.anyOf.1", "expected a schema"],
  ["a step of 0", { type: "integer", multipleOf: 0 }, "schema.multipleOf", "more than 0"],
  ["a reference to nowhere", object({ a: { $ref: "#/$defs/b" } }), "schema.properties.a.$ref", "not found"],
  ["a remote reference", { $ref: "https://example.com/s.json" }, "schema.$ref", "not found"],
  ["nothing but itself", { $ref: "#" }, "schema", "refers to itself"],
  [
    "nothing but itself, around a corner",
    { anyOf: [{ $ref: "#/$defs/a" }], $defs: { a: { allOf: [{ $ref: "#" }] } } },
    "schema.anyOf.0.allOf.0",
    "refers to itself",
  ],
  [
    "an object without end",
    { type: "object", properties: { a: { $ref: "#" } }, required: ["a"] },
    "schema",
    "no value satisfies",
  ],
  ["no value", { type: "integer", minimum: 3, maximum: 2 }, "schema", "no value satisfies"],
  ["an enum without values", { enum: [] }, "schema", "no value satisfies"],
  ["false", false, "schema", "no value satisfies"],
  ["not", object({ a: { not: { type: "string" } } }), "schema.properties.a.not", "cannot enforce"],
  ["if", { if: { type: "string" }, then: { minLength: 2 } }, "schema.if", "cannot enforce"],
  ["uniqueItems", { type: "array", uniqueItems: true }, "schema.uniqueItems", "cannot enforce"],
  ["contains", { type: "array", contains: { type: "string" } }, "schema.contains", "cannot enforce"],
  [
    "dependentRequired",
    { type: "object", dependentRequired: { a: ["b"] } },
    "schema.dependentRequired",
    "cannot enforce",
  ],
  ["oneOf that overlaps", { oneOf: [{ type: "integer" }, { type: "number" }] }, "schema.oneOf", "overlap"],
  [
    "two patterns",
    { allOf: [{ type: "string", pattern: "a" }, { pattern: "b" }] },
    "schema.pattern",
    "two of them",
  ],
  ["two patterns for names", { patternProperties: { a: {}, b: {} } }, "schema.patternProperties", "fit two"],
  [
    "more names than given",
    { ...object({ a: {}, b: {} }), minProperties: 2 },
    "schema.minProperties",
    "cannot enforce",
  ],
  ["looking ahead", { type: "string", pattern: "^(?!a).*$" }, "schema.pattern", "looking ahead"],
  [
    "a pattern that is none",
    { type: "string", pattern: "(" },
    "schema.pattern",
    "Invalid regular expression",
  ],
  [
    "a pattern and a length",
    { type: "string", pattern: "^(ab|c)*$", maxLength: 9 },
    "schema.maxLength",
    "at once",
  ],
])("refused by its path: %s", (_, schema, path, words) => {
  const refusal = expect.objectContaining({
    code: "bad_request",
    message: expect.stringMatching(new RegExp(`^${path.replaceAll(/[.$]/g, "\\$&")}: `)),
    details: { param: path },
  });
  expect(() => strict(schema)).toThrow(refusal);
  expect(() => strict(schema)).toThrow(words);
});

test.each<[string, unknown, unknown]>([
  ["not", { type: "string", not: { const: "a" } }, "a"],
  ["uniqueItems", { type: "array", items: { type: "integer" }, uniqueItems: true }, [1, 1]],
  ["if", { type: "integer", if: { minimum: 5 }, then: { multipleOf: 2 } }, 7],
  ["oneOf", { oneOf: [{ type: "integer" }, { type: "number" }] }, 1],
  ["a pattern that looks ahead, with a length", { type: "string", pattern: "^(?!x)", maxLength: 3 }, "xyz"],
  [
    "a reference to nowhere",
    { type: "object", properties: { a: { $ref: "#/b" } }, required: ["a"] },
    { a: [1] },
  ],
])("without strictness the rest is held: %s", (_, schema, value) => {
  const accepts = accepter(lenient(schema));
  expect(accepts(JSON.stringify(value))).toBe(true);
  expect(accepts("[[[]]]")).toBe(false);
});

test("a schema that grows without end is too large, and soon known to be", () => {
  const defs: Record<string, unknown> = { d0: { type: "integer" } };
  for (let n = 1; n < 40; n++)
    defs[`d${n}`] = {
      allOf: [
        { anyOf: [{ $ref: `#/$defs/d${n - 1}` }, { type: "null" }] },
        { anyOf: [{ $ref: `#/$defs/d${n - 1}` }, true] },
      ],
    };
  const since = performance.now();
  expect(() => strict({ $ref: "#/$defs/d39", $defs: defs })).toThrow("too large");
  const wide = object(
    Object.fromEntries(Array.from({ length: 30_000 }, (_, n) => [`p${n}`, { type: "string" }])),
  );
  expect(() => strict(wide)).toThrow("too large");
  expect(performance.now() - since).toBeLessThan(10_000);
});

test("a schema nested without end is told as that", () => {
  let schema: object = { type: "integer" };
  for (let n = 0; n < 20_000; n++) schema = { type: "array", items: schema };
  expect(() => strict(schema)).toThrow("nested too deeply");
});

test("patterns that hold up other engines are followed in no time", () => {
  const since = performance.now();
  const hostile = {
    type: "string",
    pattern: "^(([a-z])+.)+[A-Z]([a-z])+$",
    enum: ["a".repeat(5000), "aaBa"],
  };
  const accepts = accepter(strict(hostile));
  expect([accepts('"aaBa"'), accepts(`"${"a".repeat(5000)}"`)]).toEqual([true, false]);
  const names = {
    properties: { ["a".repeat(3000)]: {} },
    patternProperties: { "^(a+)+$": { type: "null" } },
  };
  expect(accepter(strict(names))(`{"${"a".repeat(3000)}": null}`)).toBe(true);
  expect(() => strict({ type: "string", pattern: "a?".repeat(2000) })).toThrow("longer than");
  expect(performance.now() - since).toBeLessThan(5000);
});

test("a large schema that is honest is read quickly", () => {
  const field = object({ a: { type: "string" }, b: { type: "number" }, c: { enum: ["x", "y"] } });
  const schema = object(Object.fromEntries(Array.from({ length: 400 }, (_, n) => [`field_${n}`, field])));
  const since = performance.now();
  const accepts = accepter(strict(schema));
  expect(accepts('{"field_3": {"a": "text"}, "field_399": {"c": "x"}}')).toBe(true);
  expect(accepts('{"field_3": {"a": "text"}, "field_2": {"c": "x"}}')).toBe(false);
  expect(performance.now() - since).toBeLessThan(10_000);
});
