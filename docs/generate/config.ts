// docs/reference/configuration.md: every key of the three files, with the comments that stand above it in the schema.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";
import type { GenericSchema } from "valibot";
import { CortexConfig, ModelsConfig } from "../../gateway/config.ts";
import { schemaOf } from "../../kit/openapi.ts";
import { Config } from "../../neuron/config.ts";

interface JsonSchema {
  type?: string;
  default?: unknown;
  enum?: unknown[];
  properties?: Record<string, JsonSchema>;
  additionalProperties?: JsonSchema | boolean;
  items?: JsonSchema;
  anyOf?: JsonSchema[];
  required?: string[];
  [bound: string]: unknown;
}

const root = join(import.meta.dirname, "../..");

export function configPage(): string {
  return [
    "# Configuration",
    "",
    "Three files, all optional, all strict: an unknown key is an error that names it. Flags win over the environment, the",
    "environment over the file. A key that says nothing about its default has none. Commented examples with the same keys",
    "are `cortex.example.toml`, `models.example.toml` and `neuron.example.toml`; `cortex check` and `neuron check` read",
    "yours, and tell every problem with the file, variable or flag where it was said.",
    "",
    "In a variable a text stands as it is, with or without quotes; other values are written as in the file, a list also",
    "without its brackets (`NEURON_DEVICE=0,1`). `__0__` is the first of a list (`CORTEX_NEURONS__0__NAME`), in place of",
    "what the file has there, or behind its last. An empty variable says nothing.",
    "",
    ...section("neuron.toml", "neuron/config.ts", "Config", Config, "NEURON"),
    ...section("cortex.toml", "gateway/config.ts", "CortexConfig", CortexConfig, "CORTEX"),
    ...section("models.toml", "gateway/config.ts", "ModelsConfig", ModelsConfig, undefined),
  ].join("\n");
}

function section(
  file: string,
  source: string,
  name: string,
  schema: GenericSchema,
  prefix: string | undefined,
): string[] {
  const comments = commentsOf(source, name);
  const json = schemaOf(schema) as JsonSchema;
  const variable = (path: string) => `${prefix}_${path.toUpperCase().replaceAll(".", "__")}`;
  const example = prefix === "NEURON" ? "http.drain_s" : "gateway.listen";
  const environment =
    prefix === undefined
      ? "Has no variables: it is a list, and is read again on SIGHUP."
      : `As a variable: \`${variable(example)}\` is \`${example}\`, and so on.`;
  return [
    `## ${file}`,
    "",
    environment,
    "",
    "| key | value | default | |",
    "|---|---|---|---|",
    ...rows(json, "", comments),
    "",
  ];
}

function rows(schema: JsonSchema, at: string, comments: ReadonlyMap<string, string>): string[] {
  return Object.entries(schema.properties ?? {}).flatMap(([key, value]) => {
    const path = at === "" ? key : `${at}.${key}`;
    const inner = value.properties ?? value.items?.properties;
    const comment = comments.get(path) ?? "";
    if (!inner) {
      const given = value.default === undefined ? "" : `\`${JSON.stringify(value.default)}\``;
      const need = schema.required?.includes(key) && value.default === undefined ? "required" : given;
      return [row(`\`${path}\``, valueOf(value), need, comment)];
    }
    const label = value.items ? `**\`[[${path}]]\`**` : `**\`[${path}]\`**`;
    return [
      row(label, value.items ? "a list of tables" : "a table", "", comment),
      ...rows(value.items ?? value, path, comments),
    ];
  });
}

function row(...cells: string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
}

/** What a key takes, in words; `plural` where it stands in a list. */
function valueOf(schema: JsonSchema, plural = ""): string {
  if (schema.enum) return schema.enum.map((value) => `\`${JSON.stringify(value)}\``).join(", ");
  if (schema.anyOf) return schema.anyOf.map((one) => valueOf(one)).join("; or ");
  if (schema.items) return `a list of ${valueOf(schema.items, "s")}`;
  if (typeof schema.additionalProperties === "object") return "a table of texts";
  if (schema.type === "boolean") return "true or false";
  const kind = { string: "text", number: "number", integer: "whole number" };
  const word = kind[schema.type as keyof typeof kind];
  return [word + plural, boundsOf(schema)].filter(Boolean).join(", ");
}

function boundsOf(schema: JsonSchema): string {
  const words = { exclusiveMinimum: "above", minimum: "from", maximum: "to" };
  return Object.entries(words)
    .filter(([bound]) => schema[bound] !== undefined)
    .map(([bound, word]) => `${word} ${String(schema[bound])}`)
    .join(" ");
}

/** The comment above each key of a schema, by the key's path. */
export function commentsOf(source: string, name: string): Map<string, string> {
  const text = readFileSync(join(root, source), "utf8");
  const file = ts.createSourceFile(source, text, ts.ScriptTarget.Latest, true);
  const found = new Map<string, string>();
  const constants = new Map<string, ts.Expression>();
  for (const statement of file.statements)
    if (ts.isVariableStatement(statement))
      for (const { name: id, initializer } of statement.declarationList.declarations)
        if (ts.isIdentifier(id) && initializer) constants.set(id.text, initializer);

  function walk(node: ts.Node, at: string): void {
    if (ts.isIdentifier(node) && constants.has(node.text)) return walk(constants.get(node.text)!, at);
    if (ts.isPropertyAssignment(node) || ts.isArrowFunction(node)) return undefined;
    if (!ts.isObjectLiteralExpression(node)) return ts.forEachChild(node, (child) => walk(child, at));
    for (const property of node.properties) {
      if (!ts.isPropertyAssignment(property)) continue;
      const key = property.name.getText(file);
      const path = at === "" ? key : `${at}.${key}`;
      const [comment] = ts.getJSDocCommentsAndTags(property);
      if (comment && typeof comment.comment === "string") found.set(path, oneLine(comment.comment));
      walk(property.initializer, path);
    }
  }

  const top = constants.get(name);
  if (!top) throw new Error(`${source} has no ${name}`);
  walk(top, "");
  return found;
}

function oneLine(text: string): string {
  return text.replace(/\s*\n\s*/g, " ").trim();
}
