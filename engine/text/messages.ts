// From the messages of a request to the messages a template can read. Templates differ in what they know; nothing
// that a caller said is dropped on the way.

import { EngineError } from "../errors.ts";
import type { ChatMessage, ContentPart, ToolCallMessage } from "../serve/types.ts";
import { isObject } from "./files.ts";

/** What a template was seen to read (template-traits.ts tries it out). */
export interface TemplateTraits {
  /** Where system messages may stand: several at any place, one at the front, or none at all. */
  system: "anywhere" | "first" | "none";
  /** It reads content that is a list of parts. */
  readsParts: boolean;
  /** It reads content that is a string; a few vision templates do not. */
  readsStrings: boolean;
  /** It writes something for an image part. */
  readsImages: boolean;
  /** It knows OpenAI's name for system messages. */
  readsDeveloper: boolean;
}

export type TemplateMessage = Record<string, unknown> & { role: string; content: TemplateContent };
export type TemplateContent = string | TemplatePart[];
type TemplatePart = { type: "text"; text: string } | { type: "image"; image: string; image_url: string };

/**
 * Content null becomes ""; lists of text become one string, or stay lists where the template reads only those;
 * arguments of tool calls become objects; system messages move only as far as the template forces them to.
 * Throws bad_request with the path of what is wrong, vision_unsupported for an image that would vanish.
 */
export function templateMessages(
  messages: readonly ChatMessage[],
  traits: TemplateTraits,
): TemplateMessage[] {
  const read = messages.map((message, i) => readMessage(message, `messages[${i}]`, traits));
  const placed = placeSystem(read, traits.system);
  if (traits.readsStrings) return placed;
  return placed.map((message) => ({ ...message, content: partsOf(message.content) }));
}

function readMessage(message: ChatMessage, path: string, traits: TemplateTraits): TemplateMessage {
  const { role, content, tool_calls, ...rest } = message;
  const known = Object.entries(rest).filter(([, value]) => value !== null && value !== undefined);
  return {
    ...Object.fromEntries(known),
    role: role === "developer" && !traits.readsDeveloper ? "system" : role,
    content: readContent(content ?? "", `${path}.content`, traits),
    ...(tool_calls?.length && {
      tool_calls: tool_calls.map((call, i) => readCall(call, `${path}.tool_calls[${i}]`)),
    }),
  };
}

function readContent(
  content: string | readonly ContentPart[],
  path: string,
  traits: TemplateTraits,
): TemplateContent {
  if (typeof content === "string") return content;
  const parts = content.map((part, i) => readPart(part, `${path}[${i}]`));
  const image = parts.findIndex((part) => part.type === "image");
  if (image < 0) return parts.map((part) => (part.type === "text" ? part.text : "")).join("");
  if (!traits.readsImages)
    throw new EngineError(
      "vision_unsupported",
      `${path}[${image}]: this model's chat template reads no images`,
    );
  return parts;
}

/** Templates look for images by type or by key, so both are there; the picture itself is none of their business. */
function readPart(part: ContentPart | { type: "image" }, path: string): TemplatePart {
  if (part.type === "text" && typeof part.text === "string") return { type: "text", text: part.text };
  if (part.type === "image_url" || part.type === "image") return { type: "image", image: "", image_url: "" };
  const got = JSON.stringify(part).slice(0, 80);
  throw new EngineError("bad_request", `${path}: expected a part of type text or image_url, got ${got}`);
}

function readCall(call: ToolCallMessage, path: string): ToolCallMessage {
  const args = call.function.arguments;
  return { ...call, function: { ...call.function, arguments: readArguments(args, path) } };
}

/** Templates walk through the arguments; on the wire they are a JSON string. Agents send "" for none. */
function readArguments(args: string | Record<string, unknown>, path: string): Record<string, unknown> {
  const where = `${path}.function.arguments`;
  if (typeof args !== "string") return args;
  if (args.trim() === "") return {};
  let value: unknown;
  try {
    value = JSON.parse(args);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new EngineError("bad_request", `${where}: not JSON (${reason}): ${args.slice(0, 80)}`);
  }
  if (value === null) return {};
  if (!isObject(value))
    throw new EngineError("bad_request", `${where}: expected a JSON object, got ${args.slice(0, 80)}`);
  return value;
}

/**
 * Agents send several system messages, also in the midst of a conversation. Where the template would refuse or
 * drop them, those at the front become one, and each later one joins the user turn beside it (else becomes one): it
 * keeps its place, so the prompt's beginning, and with it the prefix cache, stays as it was a turn before.
 */
function placeSystem(messages: TemplateMessage[], system: TemplateTraits["system"]): TemplateMessage[] {
  if (system === "anywhere") return messages;
  const first = messages.findIndex((message) => message.role !== "system");
  const front = messages.slice(0, first < 0 ? messages.length : first);
  const rest = messages.slice(front.length);
  if (front.length === 0) return foldIntoUser(rest);
  const merged = front.reduce((all, message) => ({
    ...all,
    content: joined(all.content, message.content),
  }));
  return system === "first" ? [merged, ...foldIntoUser(rest)] : foldIntoUser([merged, ...rest]);
}

function foldIntoUser(messages: readonly TemplateMessage[]): TemplateMessage[] {
  const result: TemplateMessage[] = [];
  for (const message of messages) {
    const last = result.at(-1);
    if (message.role === "system" && last?.role === "user")
      result[result.length - 1] = { ...last, content: joined(last.content, message.content) };
    else if (message.role === "user" && last?.role === "system")
      result[result.length - 1] = { ...message, content: joined(last.content, message.content) };
    else if (message.role === "system" && last?.role === "system")
      result[result.length - 1] = { ...last, content: joined(last.content, message.content) };
    else result.push(message);
  }
  return result.map((message) => (message.role === "system" ? { ...message, role: "user" } : message));
}

function joined(a: TemplateContent, b: TemplateContent): TemplateContent {
  if (a === "" || b === "") return a === "" ? b : a;
  if (typeof a === "string" && typeof b === "string") return `${a}\n\n${b}`;
  return [...partsOf(a), { type: "text", text: "\n\n" }, ...partsOf(b)];
}

function partsOf(content: TemplateContent): TemplatePart[] {
  if (typeof content !== "string") return content;
  return content === "" ? [] : [{ type: "text", text: content }];
}
