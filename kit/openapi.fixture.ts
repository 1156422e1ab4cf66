// What both documents must be: valid OpenAPI, and one operation for each route.

import { Validator } from "@seriousme/openapi-schema-validator";
import type { FastifyInstance } from "fastify";
import { expect } from "vitest";
import type { Operation } from "./openapi.ts";

export async function expectValid(document: Record<string, unknown>): Promise<void> {
  const validator = new Validator();
  const { valid, errors } = await validator.validate(structuredClone(document));
  expect(errors ?? "none").toBe("none");
  expect(valid).toBe(true);
}

/** Names what is missing on either side. */
export function expectSameRoutes(routes: readonly string[], operations: readonly Operation[]): void {
  expect(operations.map(({ route }) => route).sort()).toEqual([...routes].sort());
}

/** Of an app that is ready, from the tree that it prints: each line adds to the path of the line above it. */
export function routesOf(app: FastifyInstance): string[] {
  const parts: string[] = [];
  const tree = app.printRoutes({ commonPrefix: false }).split("\n");
  return tree.flatMap((line) => {
    const [, indent = "", part, methods] = /^([│ ]*)[├└]── (\S*)(?: \(([^)]+)\))?/.exec(line) ?? [];
    if (part === undefined) return [];
    parts.splice(indent.length / 4, Infinity, part);
    const path = parts.join("").replace(/([^/])\*$/, "$1/*"); // it prints a wildcard without its slash
    return (methods?.split(", ") ?? []).filter((m) => m !== "HEAD").map((method) => `${method} ${path}`);
  });
}
