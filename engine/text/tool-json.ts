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
  const scanner = createScanner();
  for (let i = at; i < text.length; i++) {
    scanner.see(text[i]!);
    if (scanner.atRest() && /["\]}]/.test(text[i]!)) return i + 1;
    if (scanner.atRest() && /[,}\]\s]/.test(text[i + 1] ?? "")) return i + 1;
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
function createScanner() {
  const open: string[] = [];
  let inString = false;
  let escape = false;

  function see(character: string): void {
    if (inString) {
      if (escape) escape = false;
      else if (character === "\\") escape = true;
      else if (character === '"') inString = false;
    } else if (character === '"') inString = true;
    else if (character === "{" || character === "[") open.push(character === "{" ? "}" : "]");
    else if (character === "}" || character === "]") open.pop();
  }

  return {
    see,
    inString: () => inString,
    /** Outside of every string and bracket. */
    atRest: () => !inString && open.length === 0,
    /** What would make it whole. */
    missing: () => (escape ? "\\" : "") + (inString ? '"' : "") + open.toReversed().join(""),
  };
}

/** The arguments of a call whose head had been read up to their value, and the rest of the object around them. */
export function createJsonBody(write: (json: string) => void): CallBody {
  const scanner = createScanner();
  const outer = createScanner();
  outer.see("{");
  let place: "start" | "object" | "string" | "behind" = "start";

  function object(held: Held): boolean {
    let json = "";
    let n = 0;
    for (const text = held.text; n < text.length && place === "object"; n++) {
      const character = text[n]!;
      if (!scanner.inString() && character === "<") {
        // No JSON has this here: the model has lost a bracket and gone on to the closing tag.
        json += scanner.missing();
        place = "behind";
        break;
      }
      const raw = scanner.inString() && character < " ";
      json += raw ? JSON.stringify(character).slice(1, -1) : character;
      scanner.see(character);
      if (scanner.atRest()) place = "behind";
    }
    if (json !== "") write(json);
    held.drop(n);
    return place === "behind";
  }

  /** Some models write the arguments as a string which holds JSON. */
  function string(held: Held): boolean {
    const end = valueEnd(held.text, 0);
    if (end === undefined) return false;
    const literal = held.text.slice(0, end);
    // Line breaks inside strings are no JSON, and a common slip.
    const value = parsed(literal.replace(/\p{Cc}/gu, (c) => JSON.stringify(c).slice(1, -1)));
    write(typeof value === "string" ? value : literal);
    held.drop(end);
    place = "behind";
    return true;
  }

  function behind(held: Held): boolean {
    for (let n = 0; n < held.text.length; n++) {
      const lost = !outer.inString() && held.text[n] === "<";
      if (!lost) outer.see(held.text[n]!);
      if (!lost && !outer.atRest()) continue;
      held.drop(lost ? n : n + 1);
      return true;
    }
    held.drop(held.text.length);
    return false;
  }

  return {
    step(held) {
      if (place === "start" && held.text !== "") place = held.text.startsWith("{") ? "object" : "string";
      if (place === "object" && !object(held)) return false;
      if (place === "string" && !string(held)) return false;
      return place === "behind" && behind(held);
    },
    finish(held, whole) {
      if (whole && place === "object") write(scanner.missing());
      if (whole && place === "string") write(held.text);
    },
  };
}
