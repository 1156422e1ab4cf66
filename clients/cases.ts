// What a client is asked and what the model, which is a script, then says: six cases which every client and SDK goes
// through. The script reads nothing but the request, so any number of requests may be under way. Pure.

import type { Json } from "../gateway/dialects/streams.fixture.ts";

export const caseNames = ["text", "tool", "parallel", "thinking", "image", "structured"] as const;
export type CaseName = (typeof caseNames)[number];

/** One turn of the model. */
export interface Turn {
  thought?: string;
  text?: string;
  calls: { name: string; arguments: Json }[];
}

const words = { one: "cortex-one", two: "cortex-two" };
/** Before the command, and before the answer. */
export const thoughts = ["One command will do.", "It has printed."] as const;
export const city = { city: "Paris", people: 2102650 };
export const citySchema = {
  type: "object",
  properties: { city: { type: "string" }, people: { type: "integer" } },
  required: ["city", "people"],
  additionalProperties: false,
};

/** What to type; `file` is a picture that the client can read. */
export function promptOf(name: CaseName, file = "picture.png"): string {
  const asks: Record<CaseName, string> = {
    text: "Say hello.",
    tool: "Run one command and tell me what it printed.",
    parallel: "Run two commands at once and tell me what they printed.",
    thinking: "Think, run one command, and tell me what it printed.",
    image: `Look at ${file} and tell me what it is.`,
    structured: "Name a city as JSON.",
  };
  return `[case ${name}] ${asks[name]}`;
}

/** What the client must print in the end. */
export function expectedOf(name: CaseName): string {
  const texts: Record<CaseName, string> = {
    text: "Hello from cortex.",
    tool: `It printed ${words.one}.`,
    parallel: `It printed ${words.one} and ${words.two}.`,
    thinking: `It printed ${words.one}.`,
    image: "It is a picture.", // some clients make a JPEG of it
    structured: JSON.stringify(city),
  };
  return texts[name];
}

/** What the model says to a chat completion's body. */
export function answerTo(body: Json): Turn {
  const messages: Json[] = body.messages;
  const asked = messages.findLastIndex((message) => message.role === "user" && caseIn(message) !== undefined);
  const name = asked < 0 ? "text" : caseIn(messages[asked]!)!;
  const results = messages.slice(asked + 1).filter(({ role }) => role === "tool");
  const tools = toolsOf(body);
  const hands = { shell: tools.find(isShell), reader: tools.find(isReader) };
  if (name === "structured") return structured(body, tools);
  // A title or a summary: the same prompt, and nothing to do it with.
  if (name === "text" || tools.length === 0)
    return say(name === "image" ? seen(messages) : expectedOf("text"));
  if (name === "image") {
    if (pictureIn(messages) || results.length > 0 || !hands.reader) return say(seen(messages));
    return { calls: [{ name: hands.reader.name, arguments: argumentsOf(hands.reader, fileIn(messages)) }] };
  }
  if (!hands.shell) return say(`There is no shell among ${tools.map((tool) => tool.name).join(", ")}.`);
  if (results.length === 0) return command(name, hands.shell);
  return { ...thinks(name, thoughts[1]), ...say(printed(results, name === "parallel")) };
}

function say(text: string): Turn {
  return { text, calls: [] };
}

function thinks(name: CaseName, thought: string): { thought?: string } {
  return name === "thinking" ? { thought } : {};
}

function command(name: CaseName, shell: Tool): Turn {
  const echoes = name === "parallel" ? [words.one, words.two] : [words.one];
  const calls = echoes.map((word) => ({ name: shell.name, arguments: argumentsOf(shell, `echo ${word}`) }));
  return { ...thinks(name, thoughts[0]), ...(name === "tool" && { text: "I run it. " }), calls };
}

function printed(results: readonly Json[], both: boolean): string {
  const text = results.map(({ content }) => textOf(content)).join("\n");
  const found = (both ? [words.one, words.two] : [words.one]).filter((word) => text.includes(word));
  return found.length > 0 ? `It printed ${found.join(" and ")}.` : `It printed nothing known: ${text}`;
}

function structured(body: Json, tools: readonly Tool[]): Turn {
  const tool = tools.find(({ name }) => /structured_?output|^json$|^answer$|extract/i.test(name));
  if (tool) return { calls: [{ name: tool.name, arguments: city }] };
  return say(body.response_format ? JSON.stringify(city) : "No structure was asked for.");
}

function caseIn({ content }: Json): CaseName | undefined {
  const found = [...textOf(content).matchAll(/\[case (\w+)\]/g)].at(-1)?.[1];
  return caseNames.find((name) => name === found);
}

function textOf(content: unknown): string {
  if (typeof content === "string") return content;
  const parts = Array.isArray(content) ? (content as Json[]) : [];
  return parts.map(({ text }) => (typeof text === "string" ? text : "")).join("\n");
}

function pictureIn(messages: readonly Json[]): string | undefined {
  const parts = messages.flatMap(({ content }) => (Array.isArray(content) ? (content as Json[]) : []));
  return parts.find(({ type }) => type === "image_url")?.image_url.url as string | undefined;
}

function seen(messages: readonly Json[]): string {
  const type = /^data:([\w/+.-]+);base64,./.exec(pictureIn(messages) ?? "")?.[1];
  return type?.startsWith("image/") ? "It is a picture." : "There is no picture.";
}

/** As the prompt names it. */
function fileIn(messages: readonly Json[]): string {
  const text = messages.map(({ content }) => textOf(content)).join("\n");
  return /Look at (\S+) and/.exec(text)?.[1] ?? "picture.png";
}

interface Tool {
  name: string;
  parameters: Json;
}

function toolsOf({ tools, tool_choice }: Json): Tool[] {
  if (!Array.isArray(tools) || tool_choice === "none") return [];
  return (tools as Json[]).map(({ function: { name, parameters } }) => ({ name, parameters }) as Tool);
}

function isShell({ name }: Tool): boolean {
  return /^(bash|shell|exec_command|run_shell_command|run_commands?|execute_command|run)$/i.test(name);
}

function isReader({ name }: Tool): boolean {
  return /^(read|read_file|read_files|view_image)$/i.test(name);
}

/** Fills what a tool requires: its one text of interest with `value`, the rest with anything of the right type. */
function argumentsOf({ parameters }: Tool, value: string): Json {
  const properties: Json = parameters?.properties ?? {};
  const required: string[] = parameters?.required ?? Object.keys(properties).slice(0, 1);
  const subject = Object.keys(properties).find((key) =>
    /^(command|commands|cmd|path|.*file_?path|files)$/i.test(key),
  );
  const keys = new Set([...(subject ? [subject] : []), ...required]);
  return Object.fromEntries(
    [...keys].map((key) => [key, valueOf(properties[key], key === subject ? value : "x")]),
  );
}

function valueOf(schema: Json | undefined, text: string): unknown {
  const kinds = [schema, ...((schema?.anyOf ?? schema?.oneOf ?? []) as Json[])].flatMap(
    (one) => one?.type ?? [],
  );
  if (kinds.includes("string") || kinds.length === 0) return text;
  if (kinds.includes("array")) return [valueOf(schema?.items, text)];
  if (kinds.includes("object")) return argumentsOf({ name: "", parameters: schema! }, text);
  if (kinds.includes("boolean")) return false;
  return schema?.minimum ?? 1;
}
