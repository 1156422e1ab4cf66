// The `ai` package, Vercel's, with its three providers for servers like ours.

import type { createAnthropic } from "@ai-sdk/anthropic";
import type { createOpenAI } from "@ai-sdk/openai";
import type { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import type * as ai from "ai-7";
import { citySchema } from "../cases.ts";
import { key, model, runCommand, runTool, usesTools } from "./subject.ts";
import type { Asking, Subject } from "./subject.ts";

export interface Packages {
  ai: typeof ai;
  createAnthropic: typeof createAnthropic;
  createOpenAI: typeof createOpenAI;
  createOpenAICompatible: typeof createOpenAICompatible;
}

type Model = Parameters<typeof ai.generateText>[0]["model"];

export function subjectsOf(packages: Packages): Record<string, Subject> {
  const by = (open: (url: string) => Model): Subject => {
    return (url) => (asking) => (asking.stream ? streamed : whole)(packages.ai, open(url), asking);
  };
  const { createAnthropic: messages, createOpenAI: openAi, createOpenAICompatible: compatible } = packages;
  return {
    messages: by((url) => messages({ baseURL: `${url}/v1`, apiKey: key })(model)),
    responses: by((url) => openAi({ baseURL: `${url}/v1`, apiKey: key }).responses(model)),
    chat: by((url) => openAi({ baseURL: `${url}/v1`, apiKey: key }).chat(model)),
    compatible: by((url) =>
      compatible({ baseURL: `${url}/v1`, apiKey: key, name: "cortex", supportsStructuredOutputs: true })(
        model,
      ),
    ),
  };
}

async function whole({ generateText, ...more }: typeof ai, model: Model, asking: Asking): Promise<string> {
  return (await generateText(settingsOf(more, model, asking))).text;
}

async function streamed({ streamText, ...more }: typeof ai, model: Model, asking: Asking): Promise<string> {
  const errors: unknown[] = [];
  const onError = ({ error }: { error: unknown }) => void errors.push(error);
  const result = streamText({ ...settingsOf(more, model, asking), onError });
  for await (const part of result.fullStream) if (part.type === "error") throw part.error;
  if (errors.length > 0) throw errors[0];
  return (await result.steps).at(-1)!.text;
}

type Helpers = Pick<typeof ai, "jsonSchema" | "Output" | "stepCountIs" | "tool">;

function settingsOf({ jsonSchema, Output, stepCountIs, tool }: Helpers, model: Model, asking: Asking) {
  const { name, prompt, picture } = asking;
  const text = { type: "text" as const, text: prompt };
  const image = { type: "file" as const, data: picture, mediaType: "image/png" };
  const content = name === "image" ? [text, image] : [text];
  const run = tool({
    description: runTool.description,
    inputSchema: jsonSchema<{ command: string }>(runTool.parameters),
    execute: async (input) => runCommand(input),
  });
  return {
    ...{ model, maxRetries: 0, messages: [{ role: "user" as const, content }] },
    ...(usesTools(name) && { tools: { run }, stopWhen: stepCountIs(3) }),
    ...(name === "structured" && { output: Output.object({ schema: jsonSchema(citySchema as object) }) }),
  };
}
