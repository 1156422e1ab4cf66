// docs/reference/api.md: the routes of both daemons, from the same tables as their OpenAPI documents.

import { operations as gateway } from "../../gateway/routes/openapi.ts";
import { schemaOf } from "../../kit/openapi.ts";
import type { Operation } from "../../kit/openapi.ts";
import { operations as neuron } from "../../neuron/openapi.ts";

export function apiPage(): string {
  return [
    "# API",
    "",
    "Both daemons serve their API as an OpenAPI 3.1 document at `/openapi.json`; this page is made from the same tables.",
    'Errors are OpenAI\'s envelope (`{"error": {"message", "type", "code", "param"}}`), or Anthropic\'s on its routes;',
    "503 and 429 carry `Retry-After`.",
    "",
    "## cortex, on port 31313",
    "",
    ...table(gateway),
    "## neuron, on port 13131",
    "",
    ...table(neuron),
    "## Fields of a chat completion",
    "",
    "OpenAI's own, and what clients of other servers send. A field that is known and not implemented is refused by name;",
    "an unknown one passes.",
    "",
    ...fields(neuron.find(({ route }) => route === "POST /v1/chat/completions")!),
  ].join("\n");
}

function table(operations: readonly Operation[]): string[] {
  const lines = operations.map(({ route, summary, stream, errors = [], request }) => {
    const statuses = [...(request ? [400] : []), ...errors].sort((a, b) => a - b).join(", ");
    return `| \`${route}\` | ${summary}${stream ? "; streams" : ""} | ${statuses} |`;
  });
  return ["| route | what | refusals |", "|---|---|---|", ...lines, ""];
}

function fields({ request }: Operation): string[] {
  const { properties } = schemaOf(request!) as { properties: Record<string, unknown> };
  return [
    Object.keys(properties)
      .map((name) => `\`${name}\``)
      .join(", "),
    "",
  ];
}
