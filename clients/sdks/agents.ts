// OpenAI's agents: their own loop, by Chat Completions and by Responses.

import { Agent, Runner, setTracingDisabled, tool } from "@openai/agents-core";
import { OpenAIProvider } from "@openai/agents-openai";
import OpenAI from "openai";
import { citySchema } from "../cases.ts";
import { key, model, runCommand, runTool, usesTools } from "./subject.ts";
import type { Asking, Subject } from "./subject.ts";

setTracingDisabled(true); // it would tell OpenAI

export function agents(useResponses: boolean): Subject {
  return (url) => {
    const openAIClient = new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0 });
    const runner = new Runner({ modelProvider: new OpenAIProvider({ openAIClient, useResponses }) });
    return (asking) => ask(runner, asking);
  };
}

async function ask(runner: Runner, asking: Asking): Promise<string> {
  const { name, prompt, picture, stream } = asking;
  const image = { type: "input_image" as const, image: `data:image/png;base64,${picture}` };
  const text = { type: "input_text" as const, text: prompt };
  const input = [{ role: "user" as const, content: name === "image" ? [text, image] : [text] }];
  const agent = agentFor(asking);
  if (!stream) return finalText((await runner.run(agent, input)).finalOutput);
  const result = await runner.run(agent, input, { stream: true });
  await result.completed;
  return finalText(result.finalOutput);
}

function agentFor({ name }: Asking) {
  const run = tool({
    ...{ name: runTool.name, description: runTool.description, parameters: runTool.parameters, strict: true },
    execute: async (input) => runCommand(input as { command: string }),
  });
  return new Agent({
    ...{ name: "Tester", instructions: "Be brief.", model },
    ...(usesTools(name) && { tools: [run] }),
    ...(name === "structured" && {
      outputType: { type: "json_schema" as const, name: "city", strict: true, schema: citySchema as never },
    }),
  });
}

function finalText(output: unknown): string {
  return typeof output === "string" ? output : JSON.stringify(output);
}
