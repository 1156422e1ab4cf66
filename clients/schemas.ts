// JSON schemas of what OpenAI and Anthropic publish, made from the types in published.ts, and what an answer has to say
// to them.

import { join } from "node:path";
import type { ErrorObject, ValidateFunction } from "ajv";
import { Ajv } from "ajv";
import { createGenerator } from "ts-json-schema-generator";
import type { Json } from "../gateway/dialects/streams.fixture.ts";
import type { OfAnthropic, OfOpenAi } from "./published.ts";

/** Fields of the types which are not on the wire: the SDK adds them, or the API leaves out what is null. */
const notOnTheWire: Readonly<Record<string, string>> = { Response: "output_text", TextBlock: "citations" };

export type Check<Shapes> = (shape: keyof Shapes & string, value: unknown) => string[];

/** Takes some seconds. */
export function publishedChecks(): { openAi: Check<OfOpenAi>; anthropic: Check<OfAnthropic> } {
  return { openAi: checkOf("OfOpenAi"), anthropic: checkOf("OfAnthropic") };
}

function checkOf(type: string): (shape: string, value: unknown) => string[] {
  const schema = schemaOf(type);
  const ajv = new Ajv({ strict: false, validateFormats: false });
  ajv.addSchema(schema, type);
  const compiled = new Map<string, ValidateFunction>();
  return (shape, value) => {
    const reference = shapeOf(schema, shape, value);
    if (reference === undefined) return [`no ${shape} has the type ${JSON.stringify((value as Json).type)}`];
    const validate = compiled.get(reference) ?? ajv.compile({ $ref: `${type}${reference}` });
    compiled.set(reference, validate);
    return validate(value) ? [] : (validate.errors ?? []).map(worded);
  };
}

/** Of a union of events the one whose type it is: else every other one would tell what it lacks. */
function shapeOf(schema: Json, shape: string, value: unknown): string | undefined {
  const reference = schema.properties[shape]?.$ref as string | undefined;
  if (reference === undefined) throw new Error(`there is no ${shape}`);
  const named = (ref: string): Json =>
    schema.definitions[decodeURIComponent(ref.slice("#/definitions/".length))];
  const branches = (named(reference).anyOf ?? []) as Json[];
  if (branches.length === 0) return reference;
  const { type } = value as Json;
  return branches.find(({ $ref }) => named($ref).properties.type.const === type)?.$ref as string | undefined;
}

function schemaOf(type: string): Json {
  const schema = createGenerator({
    path: join(import.meta.dirname, "published.ts"),
    tsconfig: join(import.meta.dirname, "../tsconfig.json"),
    ...{ type, expose: "all", jsDoc: "none", topRef: false, skipTypeCheck: true, additionalProperties: true },
  }).createSchema(type) as Json;
  for (const [name, definition] of Object.entries(schema.definitions as Record<string, Json>)) {
    const extra = notOnTheWire[/\w+$/.exec(name)?.[0] ?? ""];
    definition.required = definition.required?.filter((field: string) => field !== extra);
    if (!definition.required?.length) delete definition.required;
  }
  // Null until the response has ended: OpenAI's own events have it so, and Open Responses asks for it.
  const { usage } = schema.definitions.Response?.properties ?? {};
  if (usage) schema.definitions.Response.properties.usage = { anyOf: [usage, { type: "null" }] };
  return schema;
}

function worded({ instancePath, message, params }: ErrorObject): string {
  return `${instancePath} ${message} ${JSON.stringify(params)}`;
}
