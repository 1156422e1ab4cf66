// LangChain's chat model for OpenAI, by Chat Completions and by Responses.

import { HumanMessage, ToolMessage } from "@langchain/core/messages";
import type { AIMessage, AIMessageChunk, BaseMessage } from "@langchain/core/messages";
import { concat } from "@langchain/core/utils/stream";
import { ChatOpenAI } from "@langchain/openai";
import { citySchema } from "../cases.ts";
import { key, model, runCommand, runTool, usesTools } from "./subject.ts";
import type { Asking, Subject } from "./subject.ts";

export function langChain(useResponsesApi: boolean): Subject {
  return (url) => (asking) => {
    const chat = new ChatOpenAI({
      ...{ model, apiKey: key, maxRetries: 0, useResponsesApi, streamUsage: true },
      configuration: { baseURL: `${url}/v1` },
    });
    return asking.name === "structured" ? structured(chat, asking) : converse(chat, asking);
  };
}

async function structured(chat: ChatOpenAI, { prompt }: Asking): Promise<string> {
  const city = chat.withStructuredOutput(citySchema, { name: "city", method: "jsonSchema", strict: true });
  return JSON.stringify(await city.invoke(prompt));
}

async function converse(chat: ChatOpenAI, { name, prompt, picture, stream }: Asking): Promise<string> {
  const able = usesTools(name) ? chat.bindTools([{ type: "function", function: runTool }]) : chat;
  const ask = (messages: BaseMessage[]): Promise<AIMessage | AIMessageChunk> =>
    stream ? gathered(able.stream(messages)) : able.invoke(messages);
  const image = { type: "image_url", image_url: { url: `data:image/png;base64,${picture}` } };
  const content = name === "image" ? [{ type: "text", text: prompt }, image] : prompt;
  const messages: BaseMessage[] = [new HumanMessage({ content })];
  const answer = await ask(messages);
  if (!answer.tool_calls?.length) return answer.text;
  const results = answer.tool_calls.map(({ id, args }) => {
    return new ToolMessage({ tool_call_id: id!, content: runCommand(args as { command: string }) });
  });
  return (await ask([...messages, answer, ...results])).text;
}

async function gathered(stream: Promise<AsyncIterable<AIMessageChunk>>): Promise<AIMessageChunk> {
  let all: AIMessageChunk | undefined;
  for await (const chunk of await stream) all = all ? concat(all, chunk) : chunk;
  return all!;
}
