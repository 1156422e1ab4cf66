// The `openai` package, by Chat Completions and by Responses.

import type OpenAI from "openai";
import { cityFormat, key, model, runJson, runTool, usesTools } from "./subject.ts";
import type { Asking, Subject } from "./subject.ts";

type Constructor = new (options: { baseURL: string; apiKey: string; maxRetries: number }) => OpenAI;

export function byChat(Client: Constructor): Subject {
  return (url) => {
    const client = open(Client, url);
    return (asking) => {
      if (usesTools(asking.name)) return chatWithTools(client, asking);
      return asking.stream ? streamChat(client, asking) : wholeChat(client, asking);
    };
  };
}

function open(Client: Constructor, url: string): OpenAI {
  return new Client({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0 });
}

function chatParams({ name, prompt, picture }: Asking) {
  const image = { type: "image_url" as const, image_url: { url: `data:image/png;base64,${picture}` } };
  const content = name === "image" ? [{ type: "text" as const, text: prompt }, image] : prompt;
  return {
    model,
    messages: [{ role: "user" as const, content }],
    ...(name === "structured" && {
      response_format: { type: "json_schema" as const, json_schema: cityFormat },
    }),
  };
}

async function wholeChat(client: OpenAI, asking: Asking): Promise<string> {
  const { choices } = await client.chat.completions.create(chatParams(asking));
  return choices[0]!.message.content!;
}

async function streamChat(client: OpenAI, asking: Asking): Promise<string> {
  const stream = client.chat.completions.stream({
    ...chatParams(asking),
    stream_options: { include_usage: true },
  });
  const { choices, usage } = await stream.finalChatCompletion();
  if (!usage?.total_tokens) throw new Error("no usage");
  return choices[0]!.message.content!;
}

async function chatWithTools(client: OpenAI, asking: Asking): Promise<string> {
  const tool = {
    ...runTool,
    parse: JSON.parse,
    function: ({ command }: { command: string }) => command.slice(5),
  };
  const tools = [{ type: "function" as const, function: tool }];
  const body = { ...chatParams(asking), tools };
  const runner = asking.stream
    ? client.chat.completions.runTools({ ...body, stream: true })
    : client.chat.completions.runTools(body);
  return (await runner.finalContent())!;
}

export function byResponses(Client: Constructor): Subject {
  return (url) => {
    const client = open(Client, url);
    return (asking) => respond(client, asking);
  };
}

/** The second turn continues the first by its id when whole, and replays all items when streamed. */
async function respond(client: OpenAI, asking: Asking): Promise<string> {
  const ask = asker(client, asking);
  const first = inputOf(asking);
  const response = await ask({ input: first });
  const calls = response.output.flatMap((item) => (item.type === "function_call" ? [item] : []));
  if (calls.length === 0) return response.output_text;
  const outputs = calls.map(({ call_id, arguments: json }) => ({
    ...{ type: "function_call_output" as const, call_id, output: runJson(json) },
  }));
  if (!asking.stream) return (await ask({ input: outputs, previous_response_id: response.id })).output_text;
  return (await ask({ input: [...first, ...replayed(response.output), ...outputs] })).output_text;
}

/** Whatever comes out may go in again, though the types differ in what may be undefined. */
function replayed(output: readonly OpenAI.Responses.ResponseOutputItem[]): OpenAI.Responses.ResponseInput {
  return output as OpenAI.Responses.ResponseInput;
}

function inputOf({ name, prompt, picture }: Asking): OpenAI.Responses.ResponseInputItem[] {
  const image_url = `data:image/png;base64,${picture}`;
  const text = { type: "input_text" as const, text: prompt };
  const image = { type: "input_image" as const, image_url, detail: "auto" as const };
  return [{ role: "user", content: name === "image" ? [text, image] : [text] }];
}

function asker(client: OpenAI, { name, stream }: Asking) {
  return async (more: { input: OpenAI.Responses.ResponseInput; previous_response_id?: string }) => {
    const body = {
      model,
      ...more,
      ...(usesTools(name) && { tools: [{ ...runTool, type: "function" as const, strict: true }] }),
      ...(name === "structured" && {
        text: { format: { type: "json_schema" as const, ...cityFormat } },
      }),
      ...(name === "thinking" && {
        ...{ reasoning: { summary: "auto" as const }, include: ["reasoning.encrypted_content" as const] },
      }),
    };
    return stream ? client.responses.stream(body).finalResponse() : client.responses.create(body);
  };
}
