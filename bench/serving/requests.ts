// What is asked of a neuron under load: the demo model's own cases (texts, pictures, tools, thoughts), and prompts of
// token ids that are longer than those. Everything is greedy, so that each has one right answer.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../../engine/root.ts";

export interface Request {
  name: string;
  path: "/v1/chat/completions" | "/v1/completions";
  body: Readonly<Record<string, unknown>>;
}

interface DemoCase {
  id: string;
  messages: unknown[];
  tools: unknown[] | null;
  enable_thinking: boolean;
}

/** Prompts in token ids by length, and how many tokens each asks for. */
const long = [
  { length: 130, tokens: 40 },
  { length: 300, tokens: 12 },
  { length: 470, tokens: 90 },
  { length: 900, tokens: 25 },
  { length: 1400, tokens: 60 },
];

const streamed = { model: "demo", temperature: 0, stream: true, stream_options: { include_usage: true } };

export function requests(): Request[] {
  const file = join(packageRoot, "test-fixtures/demo-model/golden/cases.json");
  const { cases } = JSON.parse(readFileSync(file, "utf8")) as { cases: DemoCase[] };
  const chats = cases.map(({ id, messages, tools, enable_thinking }): Request => ({
    name: id,
    path: "/v1/chat/completions",
    body: {
      ...{ ...streamed, messages, max_tokens: 400, chat_template_kwargs: { enable_thinking } },
      ...(tools ? { tools } : {}),
    },
  }));
  const prompts = long.map(({ length, tokens }): Request => {
    const prompt = Array.from({ length }, (_, i) => 300 + ((i * i * 31 + i * 17 + length * 7919) % 1000));
    return {
      name: `${length} tokens`,
      path: "/v1/completions",
      body: { ...streamed, prompt, max_tokens: tokens },
    };
  });
  return [...chats, ...prompts];
}
