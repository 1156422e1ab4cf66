// OpenAPI 3.1 documents from a daemon's table of operations, whose bodies are the very schemas that requests are
// checked with.

import { toJsonSchema } from "@valibot/to-json-schema";
import type { ConversionConfig } from "@valibot/to-json-schema";
import * as v from "valibot";
import type { GenericSchema } from "valibot";

export interface Operation {
  /** `GET /v1/models/*`: as fastify names the route; a star is a path that may hold slashes. */
  route: string;
  tag: string;
  summary: string;
  description?: string;
  request?: GenericSchema;
  /** What 200 carries; text for the few that answer no JSON. */
  response?: GenericSchema | "text";
  /** With `stream: true` the answer is server-sent events of this; with the word alone their shape is the dialect's. */
  stream?: GenericSchema | "dialect";
  /** Refusals that are usual here, beside 400. */
  errors?: readonly number[];
}

export interface About {
  title: string;
  version: string;
  description: string;
  server: string;
  errorBody: GenericSchema;
}

type Json = Record<string, unknown>;

export function openApi(about: About, operations: readonly Operation[]): Json {
  const { title, version, description, server, errorBody } = about;
  const paths: Record<string, Json> = {};
  for (const operation of operations) {
    const [method, path] = operation.route.split(" ") as [string, string];
    const at = path.replace(/:(\w+)/g, "{$1}").replace("*", "{path}");
    (paths[at] ??= {})[method.toLowerCase()] = entry(operation, at);
  }
  return {
    openapi: "3.1.0",
    info: { title, version, description, license: { name: "GPL-3.0-only", identifier: "GPL-3.0-only" } },
    servers: [{ url: server }],
    tags: [...new Set(operations.map(({ tag }) => tag))].map((name) => ({ name })),
    security: [{}, { key: [] }],
    paths,
    components: {
      securitySchemes: { key: { type: "http", scheme: "bearer" } },
      schemas: { Error: schemaOf(errorBody) },
    },
  };
}

function entry(operation: Operation, path: string): Json {
  const { tag, summary, description, request, errors = [] } = operation;
  const parameters = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    ...{ name, in: "path", required: true, schema: { type: "string" } },
  }));
  const refusals = [...(request ? [400] : []), ...errors].sort((a, b) => a - b);
  return {
    ...{ operationId: operationId(operation.route), tags: [tag], summary },
    ...(description !== undefined && { description }),
    ...(parameters.length > 0 && { parameters }),
    ...(request && { requestBody: { required: true, content: content(schemaOf(request)) } }),
    responses: {
      200: { description: "Done.", content: answerContent(operation) },
      ...Object.fromEntries(refusals.map((status) => [status, refusal(status)])),
    },
  };
}

function answerContent({ response, stream }: Operation): Json {
  if (response === "text") return { "text/plain": { schema: { type: "string" } } };
  return {
    ...content(response ? schemaOf(response) : { type: "object" }),
    ...(stream && {
      "text/event-stream": { schema: stream === "dialect" ? { type: "string" } : schemaOf(stream) },
    }),
  };
}

function content(schema: Json): Json {
  return { "application/json": { schema } };
}

const refusals: Record<number, string> = {
  400: "The request is wrong; the message names the field.",
  401: "A key is needed, or this one is not known.",
  403: "This key may not.",
  404: "There is no such thing, often no such model.",
  409: "Not now: it is in use.",
  422: "It does not fit the device's memory.",
  426: "Not over this protocol.",
  429: "Too much at once; Retry-After says when to come back.",
  502: "A neuron failed at it.",
  503: "Not now; Retry-After says when to come back.",
};

function refusal(status: number): Json {
  return { description: refusals[status], content: content({ $ref: "#/components/schemas/Error" }) };
}

/** `POST /v1/models/load` → post_v1_models_load */
function operationId(route: string): string {
  return route.replace(/\W+/g, "_").replace(/_$/, "").toLowerCase();
}

const config: ConversionConfig = {
  target: "draft-2020-12",
  typeMode: "input",
  errorMode: "ignore", // what no schema can say (a custom check) is said by the message of the refusal
  overrideSchema: ({ valibotSchema }) => (valibotSchema.type === "custom" ? { type: "object" } : undefined),
};

/** The JSON schema of what a valibot schema takes. */
export function schemaOf(schema: GenericSchema): Json {
  const json = toJsonSchema(toldWhole(schema), config) as Json;
  delete json["$schema"]; // the document's own version says it once
  return json;
}

/** What a lazy schema is asked with, to hear all that it may be: our schemas choose by the kind of the input. */
const samples: readonly unknown[] = ["", [], [""], [0], [[0]], {}, 0];

/** The schema with every lazy one in it replaced by the union of what it may become. */
function toldWhole(schema: GenericSchema): GenericSchema {
  if (schema.type === "lazy") {
    const { getter } = schema as unknown as { getter: (input: unknown) => GenericSchema };
    const shapes = samples.map((sample) => toldWhole(getter(sample)));
    const texts = shapes.map((shape) => JSON.stringify(toJsonSchema(shape, config)));
    return v.union(shapes.filter((_, i) => texts.indexOf(texts[i]!) === i));
  }
  const copy: Record<string, unknown> = { ...schema };
  for (const [key, value] of Object.entries(copy)) {
    if (isSchema(value)) copy[key] = toldWhole(value);
    else if (Array.isArray(value))
      copy[key] = value.map((one) => (isSchema(one) && one !== schema ? toldWhole(one) : (one as unknown)));
    else if (key === "entries")
      copy[key] = Object.fromEntries(
        Object.entries(value as Record<string, GenericSchema>).map(([name, one]) => [name, toldWhole(one)]),
      );
  }
  return copy as unknown as GenericSchema;
}

function isSchema(value: unknown): value is GenericSchema {
  return typeof value === "object" && value !== null && (value as { kind?: unknown }).kind === "schema";
}
