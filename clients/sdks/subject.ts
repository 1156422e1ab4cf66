// An SDK as the test sees it: each case from the prompt to the words, tools run on the way as its own loop does it.

import type { Json } from "../../gateway/dialects/streams.fixture.ts";
import type { CaseName } from "../cases.ts";
import { citySchema } from "../cases.ts";

export interface Asking {
  name: CaseName;
  prompt: string;
  /** Without data: in front. */
  picture: string;
  stream: boolean;
}

/** The answer's text; for `structured` its JSON. */
export type Ask = (asking: Asking) => Promise<string>;

/** `url` is the gateway's. */
export type Subject = (url: string) => Ask;

export const model = "demo";
export const key = "a key";

export const runTool = {
  name: "run",
  description: "Runs a command and returns what it printed",
  parameters: {
    type: "object" as const,
    properties: { command: { type: "string" as const, description: "The command" } },
    required: ["command"],
    additionalProperties: false as const,
  },
};

/** Of the script's commands, which are all echo. */
export function runCommand({ command }: { command: string }): string {
  return command.replace(/^echo /, "");
}

export function runJson(json: string): string {
  return runCommand(JSON.parse(json) as { command: string });
}

export const cityFormat = { name: "city", schema: citySchema as Json, strict: true };

export function usesTools(name: CaseName): boolean {
  return name === "tool" || name === "parallel" || name === "thinking";
}

/** Requests that each case takes. */
export const takes: Record<CaseName, number> = {
  ...{ text: 1, tool: 2, parallel: 2, thinking: 2, image: 1, structured: 1 },
};
