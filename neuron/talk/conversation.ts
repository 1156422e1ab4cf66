// What a chat at the terminal remembers: messages, pictures that wait for the next one, and settings. No input, no output.

import { EngineError } from "../../engine/errors.ts";

export type Part = { type: "text"; text: string } | { type: "image_url"; image_url: { url: string } };

export interface Message {
  role: "system" | "user" | "assistant";
  content: string | Part[];
}

export interface Picture {
  name: string;
  /** data:image/… */
  url: string;
}

/** Settings of /set and --set: the API's own parameters, and how each is read. */
const readers: Record<string, (text: string, name: string) => unknown> = {
  temperature: number,
  top_p: number,
  top_k: whole,
  min_p: number,
  max_tokens: whole,
  seed: whole,
  repetition_penalty: number,
  presence_penalty: number,
  frequency_penalty: number,
  stop: (text) => text.split(","),
  think: onOff,
};

export const settingNames = Object.keys(readers);

export class Conversation {
  model: string;
  system: string | undefined;
  pictures: Picture[] = [];
  messages: Message[] = [];
  readonly settings = new Map<string, unknown>();

  constructor(model: string, system?: string) {
    this.model = model;
    this.system = system;
  }

  /** `name value`, or `name` alone to forget it. Throws bad_request with what would be right. */
  set(name: string, value: string | undefined): void {
    const read = Object.hasOwn(readers, name) ? readers[name] : undefined;
    if (!read) throw wrong(`there is no setting "${name}"; there are ${settingNames.join(", ")}`);
    if (value === undefined || value === "") this.settings.delete(name);
    else this.settings.set(name, read(value, name));
  }

  /** The user's turn, with the pictures that waited for it. */
  say(text: string): void {
    const images = this.pictures.map(({ url }): Part => ({ type: "image_url", image_url: { url } }));
    const content = images.length === 0 ? text : [...images, { type: "text", text } satisfies Part];
    this.messages.push({ role: "user", content });
    this.pictures = [];
  }

  /** Takes the last answer back, or a question that got none; false where nothing was asked yet. */
  rewind(): boolean {
    while (this.messages.at(-1)?.role === "assistant") this.messages.pop();
    return this.messages.length > 0;
  }

  clear(): void {
    this.messages = [];
    this.pictures = [];
  }

  /** The body of POST /v1/chat/completions. */
  body(): Record<string, unknown> {
    const { think, ...parameters } = Object.fromEntries(this.settings);
    const system = this.system === undefined ? [] : [{ role: "system" as const, content: this.system }];
    return {
      model: this.model,
      messages: [...system, ...this.messages],
      ...parameters,
      ...(think !== undefined && { chat_template_kwargs: { enable_thinking: think } }),
    };
  }
}

function number(text: string, name: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value)) throw wrong(`${name}: expected a number, not "${text}"`);
  return value;
}

function whole(text: string, name: string): number {
  const value = number(text, name);
  if (!Number.isSafeInteger(value)) throw wrong(`${name}: expected a whole number, not "${text}"`);
  return value;
}

function onOff(text: string, name: string): boolean {
  if (!["on", "off"].includes(text)) throw wrong(`${name}: expected on or off, not "${text}"`);
  return text === "on";
}

function wrong(message: string): EngineError {
  return new EngineError("bad_request", message);
}
