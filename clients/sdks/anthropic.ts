// The `@anthropic-ai/sdk` package, with its own loop over tools.

import Anthropic from "@anthropic-ai/sdk";
import { citySchema } from "../cases.ts";
import { key, model, runCommand, runTool, usesTools } from "./subject.ts";
import type { Asking, Subject } from "./subject.ts";

export const anthropic: Subject = (url) => {
  const client = new Anthropic({ baseURL: url, apiKey: key, maxRetries: 0 });
  return (asking) => (usesTools(asking.name) ? withTools(client, asking) : plain(client, asking));
};

function paramsOf({ name, prompt, picture }: Asking) {
  const source = { type: "base64" as const, media_type: "image/png" as const, data: picture };
  const text = { type: "text" as const, text: prompt };
  const content = name === "image" ? [{ type: "image" as const, source }, text] : [text];
  return {
    ...{ model, max_tokens: 1024, messages: [{ role: "user" as const, content }] },
    ...(name === "thinking" && { thinking: { type: "adaptive" as const, display: "summarized" as const } }),
    ...(name === "structured" && {
      output_config: { format: { type: "json_schema" as const, schema: citySchema } },
    }),
  };
}

async function plain(client: Anthropic, asking: Asking): Promise<string> {
  const params = paramsOf(asking);
  const message = asking.stream
    ? await client.messages.stream(params).finalMessage()
    : await client.messages.create(params);
  return textOf(message.content);
}

async function withTools(client: Anthropic, asking: Asking): Promise<string> {
  const run = {
    ...{ name: runTool.name, description: runTool.description, input_schema: runTool.parameters },
    ...{
      run: (input: unknown) => runCommand(input as { command: string }),
      parse: (input: unknown) => input,
    },
  };
  const runner = client.beta.messages.toolRunner({
    ...{ ...paramsOf(asking), tools: [run], max_iterations: 3 },
    stream: asking.stream,
  });
  const message = await runner.runUntilDone();
  return textOf(message.content);
}

function textOf(content: readonly { type: string; text?: unknown }[]): string {
  return content.map(({ type, text }) => (type === "text" ? String(text) : "")).join("");
}
