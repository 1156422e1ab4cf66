// The body of a tool call in Hermes form, inside <tool_call>: {"name": "…", "arguments": {…}}.
// The arguments are passed on while they grow, so they are scanned, not parsed.

import type { Held } from "./held.ts";
import type { CallBody } from "./tool-xml.ts";

/** The name, and either all arguments or the place where their value begins. */
export interface JsonHead {
  name: string;
  length: number;
  json: string | undefined;
}

/** Reads up to the arguments; "wait" for more text, "bad" when it is no tool call.   text begins with "{" */
export function readJsonHead(text: string): JsonHead | "wait" | "bad" {
  let name: string | undefined;
  let json = "{}";
  let at = pastSpace(text, 1);
  for (;;) {
    if (text[at] === "}") return name === undefined ? "bad" : { name, length: at + 1, json };
    const member = readKey(text, at);
    if (typeof member === "string") return member;
    const isArguments = member.key === "arguments" || member.key === "parameters";
    if (isArguments && name !== undefined && /["{]/.test(text[member.at]!))
      return { name, length: member.at, json: undefined };
    const end = valueEnd(text, member.at);
    if (end === undefined) return "wait";
    const value = parsed(text.slice(member.at, end));
    if (value === undefined) return "bad";
    if (member.key === "name") {
      if (typeof value !== "string" || value.trim() === "") return "bad";
      name = value.trim();
    }
    if (isArguments) {
      if (typeof value !== "object" && typeof value !== "string") return "bad";
      json = typeof value === "string" ? value : value === null ? "{}" : text.slice(member.at, end);
    }
    at = pastSpace(text, end);
    if (at >= text.length) return "wait";
    if (text[at] === ",") at = pastSpace(text, at + 1);
    else if (text[at] !== "}") return "bad";
  }
}

/** `"key" :` and where its value begins. */
function readKey(text: string, at: number): { key: unknown; at: number } | "wait" | "bad" {
  if (at >= text.length) return "wait";
  if (text[at] !== '"') return "bad";
  const end = valueEnd(text, at);
  if (end === undefined) return "wait";
  const colon = pastSpace(text, end);
  if (colon >= text.length) return "wait";
  if (text[colon] !== ":") return "bad";
  const value = pastSpace(text, colon + 1);
  return value < text.length ? { key: parsed(text.slice(at, end)), at: value } : "wait";
}

function pastSpace(text: string, at: number): number {
  while (at < text.length && /\s/.test(text[at]!)) at++;
  return at;
}

/** The end of the JSON value that begins at `at`; undefined while it is not there. */
function valueEnd(text: string, at: number): number | undefined {
  const scanner = new Scanner();
  for (let i = at; i < text.length; i++) {
    scanner.see(text[i]!);
    if (scanner.atRest && /["\]}]/.test(text[i]!)) return i + 1;
    if (scanner.atRest && /[,}\]\s]/.test(text[i + 1] ?? "")) return i + 1;
  }
  return undefined;
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

/** Follows JSON character by character: which brackets are open, and whether a string is. */
class Scanner {
  inString = false;
  #escape = false;
  #open: string[] = [];

  see(character: string): void {
    if (this.inString) {
      if (this.#escape) this.#escape = false;
      else if (character === "\\") this.#escape = true;
      else if (character === '"') this.inString = false;
    } else if (character === '"') this.inString = true;
    else if (character === "{" || character === "[") this.#open.push(character === "{" ? "}" : "]");
    else if (character === "}" || character === "]") this.#open.pop();
  }

  /** Outside of every string and bracket. */
  get atRest(): boolean {
    return !this.inString && this.#open.length === 0;
  }

  /** What would make it whole. */
  get missing(): string {
    return (this.#escape ? "\\" : "") + (this.inString ? '"' : "") + this.#open.toReversed().join("");
  }
}

/** The arguments of a call whose head has been read up to their value, and the rest of the object around them. */
export class JsonBody implements CallBody {
  readonly #write: (json: string) => void;
  readonly #inner = new Scanner();
  readonly #outer = new Scanner();
  #place: "start" | "object" | "string" | "behind" = "start";

  constructor(write: (json: string) => void) {
    this.#write = write;
    this.#outer.see("{");
  }

  step(held: Held): boolean {
    if (this.#place === "start" && held.text !== "")
      this.#place = held.text.startsWith("{") ? "object" : "string";
    if (this.#place === "object") this.#object(held);
    else if (this.#place === "string") this.#string(held);
    return this.#place === "behind" && this.#behind(held);
  }

  finish(held: Held, whole: boolean): void {
    if (whole && this.#place === "object") this.#write(this.#inner.missing);
    if (whole && this.#place === "string") this.#write(held.text);
  }

  #object(held: Held): void {
    const { text } = held;
    let json = "";
    let n = 0;
    while (n < text.length && this.#place === "object") {
      const character = text[n]!;
      if (!this.#inner.inString && character === "<") {
        // No JSON has this here: the model has lost a bracket and gone on to the closing tag.
        json += this.#inner.missing;
        this.#place = "behind";
        break;
      }
      json += this.#inner.inString && character < " " ? escapedControl(character) : character;
      this.#inner.see(character);
      if (this.#inner.atRest) this.#place = "behind";
      n++;
    }
    this.#write(json);
    held.drop(n);
  }

  /** Some models write the arguments as a string which holds JSON. */
  #string(held: Held): void {
    const end = valueEnd(held.text, 0);
    if (end === undefined) return;
    const literal = held.text.slice(0, end);
    const value = parsed(literal.replace(/\p{Cc}/gu, escapedControl));
    this.#write(typeof value === "string" ? value : literal);
    held.drop(end);
    this.#place = "behind";
  }

  #behind(held: Held): boolean {
    for (let n = 0; n < held.text.length; n++) {
      const lost = !this.#outer.inString && held.text[n] === "<";
      if (!lost) this.#outer.see(held.text[n]!);
      if (!lost && !this.#outer.atRest) continue;
      held.drop(lost ? n : n + 1);
      return true;
    }
    held.drop(held.text.length);
    return false;
  }
}

/** A line break inside a string is no JSON, and a common slip. */
function escapedControl(character: string): string {
  return JSON.stringify(character).slice(1, -1);
}
