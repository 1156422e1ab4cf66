// The SDKs that programs are written with, as they come, against the gateway in front of a scripted model: every case,
// whole and streamed, with the expected words and exactly so many requests.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import * as ai6 from "ai-6";
import * as ai7 from "ai-7";
import { createAnthropic as createAnthropic3 } from "ai-sdk-anthropic-3";
import { createOpenAI as createOpenAI3 } from "ai-sdk-openai-3";
import { createOpenAICompatible as createOpenAICompatible2 } from "ai-sdk-openai-compatible-2";
import OpenAI7 from "openai";
import OpenAI6 from "openai-6";
import { describe, expect, test } from "vitest";
import { openGateway, openNeuron } from "../gateway/fixtures/gateway.fixture.ts";
import { caseNames, expectedOf, promptOf } from "./cases.ts";
import { scripted } from "./scripted-neuron.ts";
import { agents } from "./sdks/agents.ts";
import type { Packages } from "./sdks/ai.ts";
import { subjectsOf } from "./sdks/ai.ts";
import { anthropic } from "./sdks/anthropic.ts";
import { langChain } from "./sdks/langchain.ts";
import { byChat, byResponses } from "./sdks/openai.ts";
import type { Subject } from "./sdks/subject.ts";
import { takes } from "./sdks/subject.ts";

Object.assign(globalThis, { AI_SDK_LOG_WARNINGS: false });

const older = {
  ...{ ai: ai6, createAnthropic: createAnthropic3 },
  ...{ createOpenAI: createOpenAI3, createOpenAICompatible: createOpenAICompatible2 },
} as unknown as Packages;
const newer: Packages = { ai: ai7, createAnthropic, createOpenAI, createOpenAICompatible };
const openAi6 = OpenAI6 as unknown as typeof OpenAI7;

const subjects: Record<string, Subject> = {
  ...{ "openai 6, chat": byChat(openAi6), "openai 6, responses": byResponses(openAi6) },
  ...{ "openai 7, chat": byChat(OpenAI7), "openai 7, responses": byResponses(OpenAI7) },
  "@anthropic-ai/sdk": anthropic,
  ...named("ai 6", subjectsOf(older)),
  ...named("ai 7", subjectsOf(newer)),
  ...{ "LangChain, chat": langChain(false), "LangChain, responses": langChain(true) },
  ...{ "@openai/agents, chat": agents(false), "@openai/agents, responses": agents(true) },
};

function named(prefix: string, by: Record<string, Subject>): Record<string, Subject> {
  return Object.fromEntries(Object.entries(by).map(([name, subject]) => [`${prefix}, ${name}`, subject]));
}

const png = join(import.meta.dirname, "../test-fixtures/preproc/images/1_200x120_RGB.png");
const picture = readFileSync(png).toString("base64");

describe.each(Object.entries(subjects))("%s", (_, subject) => {
  test.each([false, true])("all cases, streamed: %s", async (stream) => {
    const neuron = await openNeuron("demo");
    neuron.answer = scripted;
    const gateway = await openGateway({ neurons: { a: neuron } });
    const ask = subject(gateway.url);
    for (const name of caseNames) {
      neuron.requests.length = 0;
      const text = await ask({ name, prompt: promptOf(name), picture, stream });
      const words = name === "structured" ? JSON.stringify(JSON.parse(text)) : text;
      expect([name, words]).toEqual([name, expectedOf(name)]);
      expect([name, neuron.requests.length]).toEqual([name, takes[name]]);
    }
  });
});
