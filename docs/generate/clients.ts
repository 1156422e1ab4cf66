// docs/clients.md: the settings of clients, from what `cortex env` prints.

import type { Client, Dialect, Settings } from "../../gateway/commands/client-settings.ts";
import { clients } from "../../gateway/commands/client-settings.ts";

const target = {
  ...{ url: "http://127.0.0.1:31313", model: "demo", key: "cortex", context: 32768, output: 8192 },
  ...{ vision: true, reasoning: true },
};

/** What a reader must know beside the settings. */
const notes: Readonly<Record<string, readonly string[]>> = {
  claude: [
    "`CLAUDE_CODE_MAX_CONTEXT_TOKENS` matters: without it Claude Code takes a model that it does not know for one of a",
    "million tokens. Its first prompt has about 12,000 tokens, so give the model a context of at least 32,768.",
  ],
  codex: ["Codex speaks Responses alone; by WebSocket it is told to use HTTP, and does so at once."],
  opencode: ["With `--dialect responses` or `--dialect messages` it goes through another of its providers."],
  qwen: ["Merge it into the file when there is one already."],
  continue: [
    "The same file serves the editors' extension and the `cn` command. Without a terminal `cn` reads pictures as text.",
  ],
  cline: [
    "In the editor's extension: API provider *OpenAI Compatible*, base URL, key and model id as here, and *Supports",
    "images* where the model does.",
  ],
  pi: ["With `--dialect responses` or `--dialect messages` the provider speaks those."],
  zed: [
    "Open the settings with `zed: open settings`; Zed takes the key from the variable, or asks for it once.",
  ],
};

export function clientsPage(): string {
  return [
    "# Editors, agents and SDKs",
    "",
    "`cortex env <client>` prints these settings with the address, the model and its limits filled in; `--model` chooses",
    "another model, `--key` (or `CORTEX_API_KEY`) the API key where the gateway asks for one, `--dialect` the API for",
    "clients that speak several. The suite `npm run test:clients` starts each of these clients, unmodified, with exactly",
    "these settings, and lets it talk, use one tool and two at once, think, look at a picture and answer in JSON; Zed is",
    "the exception, for it has no way to run without a screen.",
    "",
    "```console",
    '$ eval "$(npx cortex env claude)"      # where everything is in variables: sets them, and starts it',
    "$ npx cortex env codex                 # else: what to put into which file",
    "```",
    "",
    ...Object.entries(clients).flatMap(([name, client]) => section(name, client)),
    ...sdks,
  ].join("\n");
}

const apis: Readonly<Record<Dialect, string>> = {
  chat: "Chat Completions",
  responses: "Responses",
  messages: "Messages",
};

function section(name: string, client: Client): string[] {
  const settings = client.settings({ ...target, dialect: client.dialects[0] });
  const speaks = client.dialects.map((dialect) => apis[dialect]).join(", ");
  return [
    `## ${client.title}`,
    "",
    `\`cortex env ${name}\` · ${speaks}`,
    "",
    ...blocks(settings),
    ...note(name),
  ];
}

function note(name: string): string[] {
  return notes[name] ? [...notes[name], ""] : [];
}

function blocks({ env, files, commands }: Settings): string[] {
  const exports = Object.entries(env).map(([key, value]) => `export ${key}=${value}`);
  const shell = [...exports, ...commands];
  return [
    ...files.flatMap(({ path, text }) => [`\`${path}\`:`, "", ...fenced(languageOf(path), text)]),
    ...(shell.length > 0 ? fenced("sh", shell.join("\n")) : []),
  ];
}

function fenced(language: string, text: string): string[] {
  return [`\`\`\`${language}`, ...text.trimEnd().split("\n"), "```", ""];
}

function languageOf(path: string): string {
  return /\.(\w+)$/.exec(path)![1]!;
}

/** Run as they stand by clients/docs.test.ts. */
const sdks = [
  "## In code",
  "",
  "The SDKs read the variables above, so that no line of a program need change. Said in the program:",
  "",
  "OpenAI, JavaScript:",
  "",
  ...fenced(
    "js",
    `
import OpenAI from "openai";

const openai = new OpenAI({ baseURL: "http://127.0.0.1:31313/v1", apiKey: "cortex" });
const response = await openai.responses.create({ model: "demo", input: "Hello!" });
console.log(response.output_text);`.trim(),
  ),
  "OpenAI, Python:",
  "",
  ...fenced(
    "python",
    `
from openai import OpenAI

client = OpenAI(base_url="http://127.0.0.1:31313/v1", api_key="cortex")
answer = client.chat.completions.create(model="demo", messages=[{"role": "user", "content": "Hello!"}])
print(answer.choices[0].message.content)`.trim(),
  ),
  "Anthropic, JavaScript:",
  "",
  ...fenced(
    "js",
    `
import Anthropic from "@anthropic-ai/sdk";

const anthropic = new Anthropic({ baseURL: "http://127.0.0.1:31313", apiKey: "cortex" });
const messages = [{ role: "user", content: "Hello!" }];
const message = await anthropic.messages.create({ model: "demo", max_tokens: 100, messages });
console.log(message.content[0].text);`.trim(),
  ),
  "AI SDK (`npm install ai @ai-sdk/openai-compatible`; `@ai-sdk/openai` and `@ai-sdk/anthropic` work as well, with the same",
  "`baseURL`):",
  "",
  ...fenced(
    "js",
    `
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText } from "ai";

const cortex = createOpenAICompatible({ name: "cortex", baseURL: "http://127.0.0.1:31313/v1" });
const { text } = await generateText({ model: cortex("demo"), prompt: "Hello!" });
console.log(text);`.trim(),
  ),
];
