// Structured output on a real device: the demo model at a temperature at which it babbles, through HTTP and OpenAI's
// own client; what comes back is judged by a validator of others.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Ajv2020 } from "ajv/dist/2020.js";
import * as ajvFormats from "ajv-formats";
import OpenAI, { BadRequestError } from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { afterAll, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import { openEngine } from "../engine/index.ts";
import type { Engine } from "../engine/index.ts";
import { packageRoot } from "../engine/root.ts";
import { startDaemon } from "./daemon.fixture.ts";
import type { Daemon } from "./daemon.fixture.ts";

let engine: Engine;
let daemon: Daemon;
let client: OpenAI;

beforeAll(async () => {
  engine = await openEngine({ adapter: process.env["NEURON_TEST_ADAPTER"] });
  daemon = await startDaemon({ engine, load: false });
  const source = join(packageRoot, "test-fixtures", "demo-model", "model");
  await daemon.models.load({ id: "demo", source, contextLength: 1536 });
  client = new OpenAI({ baseURL: `${daemon.url}/v1`, apiKey: "none", maxRetries: 0, timeout: 120_000 });
}, 120_000);

afterAll(async () => {
  await daemon.close();
  await engine.close();
});

const ajv = new Ajv2020({ strict: false, logger: false });
ajvFormats.default.default(ajv);

const word = { type: "string", maxLength: 12 };
const object = (properties: Record<string, unknown>, more: object = {}) => ({
  type: "object",
  properties,
  required: Object.keys(properties),
  additionalProperties: false,
  ...more,
});

const schemas: [string, Record<string, unknown>][] = [
  ["a name", object({ name: word })],
  ["numbers", object({ whole: { type: "integer" }, any: { type: "number" } })],
  [
    "bounds",
    object({
      age: { type: "integer", minimum: 0, maximum: 130 },
      share: { type: "number", minimum: 0, maximum: 1 },
    }),
  ],
  ["steps", object({ size: { type: "number", multipleOf: 0.25, minimum: -2, maximum: 2 } })],
  ["enums", object({ colour: { enum: ["red", "green", "blue"] }, level: { enum: [1, 2.5, null] } })],
  ["a const", object({ kind: { const: 'cat "é"' }, legs: { const: 4 } })],
  [
    "optional fields",
    {
      type: "object",
      properties: { a: word, b: { type: "boolean" }, c: { type: "null" } },
      required: ["b"],
      additionalProperties: false,
    },
  ],
  ["lists", object({ tags: { type: "array", items: word, minItems: 1, maxItems: 3 } })],
  [
    "a tuple",
    object({ pair: { type: "array", prefixItems: [word, { type: "integer" }], items: false, minItems: 2 } }),
  ],
  ["nesting", object({ at: object({ x: { type: "integer" }, y: object({ z: { type: "boolean" } }) }) })],
  [
    "patterns",
    object({
      phone: { type: "string", pattern: "^\\+?[0-9]{2,4}( [0-9]{2,4}){2}$" },
      code: { type: "string", pattern: "^[A-Z]{3}-\\d+$", maxLength: 9 },
    }),
  ],
  [
    "formats",
    object({
      day: { type: "string", format: "date" },
      at: { type: "string", format: "date-time" },
      id: { type: "string", format: "uuid" },
    }),
  ],
  [
    "addresses",
    object({ mail: { type: "string", format: "email" }, ip: { type: "string", format: "ipv4" } }),
  ],
  ["nullable", object({ note: { anyOf: [word, { type: "null" }] }, count: { type: ["integer", "null"] } })],
  [
    "alternatives",
    object({
      shape: {
        oneOf: [
          object({ kind: { const: "circle" }, r: { type: "number" } }),
          object({ kind: { const: "square" }, a: { type: "integer" } }),
        ],
      },
    }),
  ],
  [
    "a tree",
    {
      ...object({ root: { $ref: "#/$defs/node" } }),
      $defs: {
        node: {
          type: "object",
          properties: { value: { type: "integer" }, left: { $ref: "#/$defs/leaf" } },
          required: ["value"],
          additionalProperties: false,
        },
        leaf: object({ leaf: { type: "boolean" } }),
      },
    },
  ],
  [
    "a map",
    {
      type: "object",
      additionalProperties: { type: "integer" },
      propertyNames: { pattern: "^[a-z]{1,6}$" },
      minProperties: 1,
      maxProperties: 3,
    },
  ],
  [
    "allOf",
    {
      allOf: [
        { type: "object", properties: { a: { type: "integer" } }, required: ["a"] },
        { properties: { a: { minimum: 5, maximum: 9 }, b: word }, required: ["b"] },
      ],
    },
  ],
  [
    "a list at the root",
    {
      type: "array",
      items: object({ id: { type: "integer", minimum: 1, maximum: 99 } }),
      minItems: 2,
      maxItems: 4,
    },
  ],
  [
    "lengths",
    object({
      short: { type: "string", minLength: 3, maxLength: 5 },
      long: { type: "string", minLength: 20, maxLength: 40 },
    }),
  ],
];

const said = [{ role: "user" as const, content: "Tell me about a cat." }];
const base = { model: "demo", messages: said, temperature: 1.5, max_tokens: 500 };

test("there are twenty schemas", () => {
  expect(schemas).toHaveLength(20);
});

test.each(schemas)("JSON at a high temperature: %s", async (name, schema) => {
  const valid = ajv.compile(schema);
  for (const [seed, thinks] of [
    [1, false],
    [3, true],
  ] as const) {
    const { choices } = await client.chat.completions.create({
      ...base,
      seed,
      response_format: { type: "json_schema", json_schema: { name: "answer", schema, strict: true } },
      ...({ chat_template_kwargs: { enable_thinking: thinks } } as object),
      ...(thinks ? { temperature: 0.3 } : {}), // or the thoughts, which are free, would have no end
    });
    const { message, finish_reason } = choices[0]!;
    expect(finish_reason, `${name}: ${message.content}`).toBe("stop");
    expect(valid(JSON.parse(message.content!)), message.content!).toBe(true);
  }
});

test("without a grammar the same model writes no JSON, so the grammar it is", async () => {
  const { choices } = await client.chat.completions.create({ ...base, seed: 1, max_tokens: 60 });
  expect(() => JSON.parse(choices[0]!.message.content!) as unknown).toThrow();
});

test("max_tokens cuts JSON off, and says so", async () => {
  const schema = object({ text: { type: "string", minLength: 400 } });
  const { choices } = await client.chat.completions.create({
    ...base,
    temperature: 0,
    max_tokens: 12,
    response_format: { type: "json_schema", json_schema: { name: "x", schema, strict: true } },
  });
  expect(choices[0]!.finish_reason).toBe("length");
  expect(choices[0]!.message.content).toMatch(/^\{\s*"text/);
  expect(() => JSON.parse(choices[0]!.message.content!) as unknown).toThrow();
});

const tools = [
  {
    type: "function" as const,
    function: {
      name: "weather",
      strict: true,
      parameters: object({ city: word, days: { type: "integer", minimum: 1, maximum: 7 } }),
    },
  },
  { type: "function" as const, function: { name: "now" } },
  {
    type: "function" as const,
    function: {
      name: "note",
      strict: true,
      parameters: object({
        text: { type: "string", maxLength: 30 },
        tags: { type: "array", items: { enum: ["a", "b"] }, maxItems: 2 },
      }),
    },
  },
];

type Call = OpenAI.ChatCompletionMessageFunctionToolCall;

function expectValid(calls: readonly OpenAI.ChatCompletionMessageToolCall[]): void {
  for (const { function: called } of calls as Call[]) {
    const { parameters } = tools.find((tool) => tool.function.name === called.name)!.function as {
      parameters?: object;
    };
    const value = JSON.parse(called.arguments) as unknown;
    expect(ajv.validate(parameters ?? { type: "object", maxProperties: 0 }, value), called.arguments).toBe(
      true,
    );
  }
}

test.each([1, 2, 3, 4])("tool_choice required always calls (seed %i)", async (seed) => {
  const { choices } = await client.chat.completions.create({
    ...base,
    seed,
    tools,
    tool_choice: "required",
    parallel_tool_calls: seed % 2 === 0,
  });
  const { message, finish_reason } = choices[0]!;
  expect([finish_reason, message.content]).toEqual(["tool_calls", null]);
  expect(message.tool_calls!.length).toBeGreaterThan(0);
  if (seed % 2 === 1) expect(message.tool_calls).toHaveLength(1);
  expectValid(message.tool_calls!);
});

test.each(["weather", "now", "note"])("tool_choice names %s", async (name) => {
  for (const stream of [false, true]) {
    const body = {
      ...base,
      seed: 5,
      tools,
      tool_choice: { type: "function" as const, function: { name } },
      parallel_tool_calls: false,
    };
    const { choices } = stream
      ? await client.chat.completions.stream(body).finalChatCompletion()
      : await client.chat.completions.create(body);
    const calls = choices[0]!.message.tool_calls as Call[];
    expect(calls.map((call) => call.function.name)).toEqual([name]);
    expectValid(calls);
  }
});

test("a model that thinks calls when its thoughts are over", async () => {
  const { choices } = await client.chat.completions.create({
    ...base,
    temperature: 0.2,
    tools,
    tool_choice: "required",
    parallel_tool_calls: false,
    ...({ chat_template_kwargs: { enable_thinking: true } } as object),
  });
  const message = choices[0]!.message as OpenAI.ChatCompletionMessage & { reasoning_content?: string };
  expect(message.reasoning_content).toBeTruthy();
  expect(message.tool_calls).toHaveLength(1);
});

interface Golden {
  id: string;
  messages: OpenAI.ChatCompletionMessageParam[];
  tools: OpenAI.ChatCompletionTool[] | null;
  enable_thinking: boolean;
  content: string;
  tool_calls: { name: string; arguments: unknown }[];
}

const file = join(packageRoot, "test-fixtures", "demo-model", "golden", "cases.json");
const { cases } = JSON.parse(readFileSync(file, "utf8")) as { cases: Golden[] };
const held: [RegExp, object][] = [
  [/^tool_call/, { tool_choice: "required" }],
  [/^tool_(call|none)/, { parallel_tool_calls: false }],
  [/^json/, { response_format: { type: "json_object" } }],
];
const goldens = held.flatMap(([which, wishes]) =>
  cases.filter(({ id }) => which.test(id)).map((one) => [one.id, wishes, one] as const),
);

test("there are golden answers of every kind", () => {
  expect(goldens.length).toBeGreaterThan(15);
});

test.each(goldens)(
  "what a model says by itself it says under a grammar, too: %s %j",
  async (_, wishes, one) => {
    const { choices } = await client.chat.completions.create({
      model: "demo",
      messages: one.messages,
      ...(one.tools ? { tools: one.tools } : {}),
      temperature: 0,
      max_tokens: 200,
      ...wishes,
      ...({ chat_template_kwargs: { enable_thinking: one.enable_thinking } } as object),
    });
    const { message } = choices[0]!;
    const calls = ((message.tool_calls ?? []) as Call[]).map(({ function: { name, arguments: json } }) => ({
      name,
      arguments: JSON.parse(json) as unknown,
    }));
    expect([message.content ?? "", calls]).toEqual([one.content, one.tool_calls]);
  },
);

test("the client's own structured output, by zod", async () => {
  const Cat = z.object({
    name: z.string().max(12),
    colour: z.enum(["black", "white", "ginger"]),
    age: z.number().int().min(0).max(30),
    friends: z.array(z.object({ name: z.string().max(8), dog: z.boolean() })).max(2),
    chip: z.string().max(5).nullable(),
  });
  for (const seed of [1, 2]) {
    const parsed = await client.chat.completions.parse({
      ...base,
      seed,
      response_format: zodResponseFormat(Cat, "cat"),
    });
    expect(() => Cat.parse(parsed.choices[0]!.message.parsed)).not.toThrow();
  }
});

test("n choices of JSON, each by itself", async () => {
  const schema = object({ n: { type: "integer", minimum: 0, maximum: 1_000_000 } });
  const body = {
    ...base,
    n: 3,
    seed: 9,
    response_format: { type: "json_schema" as const, json_schema: { name: "x", schema, strict: true } },
  };
  const answer = await client.chat.completions.create(body);
  const values = answer.choices.map(({ message }) => message.content!);
  for (const value of values) expect(ajv.validate(schema, JSON.parse(value))).toBe(true);
  expect(new Set(values).size).toBeGreaterThan(1);
  const streamed = await client.chat.completions.stream(body).finalChatCompletion();
  expect(streamed.choices.map(({ message }) => message.content)).toEqual(values);
  const alone = await client.chat.completions.create({ ...body, n: 1 });
  expect(alone.choices[0]!.message.content).toBe(values[0]);
});

test.each([
  [{ not: { type: "string" } }, "response_format.json_schema.schema.properties.a.not"],
  [{ type: "string", pattern: "(?=a)" }, "response_format.json_schema.schema.properties.a.pattern"],
  [{ $ref: "#/nowhere" }, "response_format.json_schema.schema.properties.a.$ref"],
])("a schema that cannot be held is a 400 with its path: %j", async (a, param) => {
  const asked = client.chat.completions.create({
    ...base,
    response_format: { type: "json_schema", json_schema: { name: "x", schema: object({ a }), strict: true } },
  });
  await expect(asked).rejects.toThrow(BadRequestError);
  await expect(asked).rejects.toMatchObject({ param });
});

test("a tool that is not there is a 400", async () => {
  const asked = client.chat.completions.create({
    ...base,
    tools,
    tool_choice: { type: "function", function: { name: "rm" } },
  });
  await expect(asked).rejects.toMatchObject({ status: 400, param: "tool_choice.function.name" });
});
