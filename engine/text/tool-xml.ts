// The body of a tool call as Qwen3-Coder and Qwen3.5 write it, behind `<function=NAME>`:
//   <parameter=ARG>\nvalue\n</parameter> … </function>
// One newline on either side of a value is layout. Text values are passed on while they grow.

import type { Tool } from "../serve/types.ts";
import { isPlainString, jsonOf, parameterTypes } from "./coerce.ts";
import { findFirst, partialEnd } from "./held.ts";
import type { Held } from "./held.ts";

/** Reads the arguments of one call off the front of the held text. */
export interface CallBody {
  /** True when the call is complete. */
  step(held: Held): boolean;
  /** The text is at its end. `whole`: the model ended it by itself, so what is open may be closed. */
  finish(held: Held, whole: boolean): void;
}

const PARAMETER = "<parameter=";
const VALUE_END = "</parameter>";
const FUNCTION_END = "</function>";
const CALL_END = "</tool_call>";

export class XmlBody implements CallBody {
  readonly #tool: Tool | undefined;
  readonly #write: (json: string) => void;
  #separator = "{";
  /** Of the parameter being read; undefined between parameters. */
  #types: Set<string> | undefined;
  #streaming = false;
  /** At the very start of a value. */
  #fresh = false;

  constructor(tool: Tool | undefined, write: (json: string) => void) {
    this.#tool = tool;
    this.#write = write;
  }

  step(held: Held): boolean {
    for (;;) {
      const done = this.#types ? this.#value(held) : this.#between(held);
      if (done !== undefined) return done;
    }
  }

  finish(held: Held, whole: boolean): void {
    if (!whole) return;
    if (this.#types) this.#end(withoutNewline(held.text.slice(0, lastValueEnd(held.text))));
    this.#close();
  }

  /** True at the end of the call, false when more text is needed, undefined to go on. */
  #between(held: Held): boolean | undefined {
    const words = [PARAMETER, FUNCTION_END, CALL_END];
    const found = findFirst(held.text, words);
    held.drop(found?.index ?? held.text.length - partialEnd(held.text, words));
    if (!found) return false;
    if (found.word !== PARAMETER) {
      if (found.word === FUNCTION_END) held.drop(FUNCTION_END.length);
      this.#close();
      return true;
    }
    const bracket = held.text.indexOf(">");
    if (bracket < 0) return false;
    this.#begin(held.text.slice(PARAMETER.length, bracket).trim());
    held.drop(bracket + 1);
    return undefined;
  }

  #value(held: Held): false | undefined {
    if (held.text === "") return false;
    if (this.#fresh && held.text.startsWith("\n")) held.drop(1);
    this.#fresh = false;
    const { at, sure } = valueEnd(held.text);
    const text = withoutNewline(held.text.slice(0, at));
    if (sure) {
      this.#end(text);
      held.drop(held.text.startsWith(VALUE_END, at) ? at + VALUE_END.length : at);
      return undefined;
    }
    if (this.#streaming) {
      this.#write(escaped(text));
      held.drop(text.length);
    }
    return false;
  }

  #begin(name: string): void {
    this.#types = parameterTypes(this.#tool, name);
    this.#streaming = isPlainString(this.#types);
    this.#fresh = true;
    this.#write(`${this.#separator}${JSON.stringify(name)}:${this.#streaming ? '"' : ""}`);
    this.#separator = ",";
  }

  #end(text: string): void {
    this.#write(this.#streaming ? `${escaped(text)}"` : jsonOf(text, this.#types!));
    this.#types = undefined;
  }

  #close(): void {
    this.#write(this.#separator === "{" ? "{}" : "}");
  }
}

/**
 * Where the value ends; `sure` when that is certain, else everything before `at` belongs to it. A closing tag only
 * counts when what follows fits, because values may speak of tags: files about tool calls get edited too.
 */
function valueEnd(text: string): { at: number; sure: boolean } {
  const followers = {
    [VALUE_END]: [PARAMETER, FUNCTION_END, CALL_END],
    [FUNCTION_END]: [CALL_END],
  };
  const words = Object.keys(followers) as (keyof typeof followers)[];
  for (let found = findFirst(text, words); found; found = findFirst(text, words, found.index + 1)) {
    const after = text.slice(found.index + found.word.length).trimStart();
    const follower = followers[found.word as keyof typeof followers];
    if (follower.some((word) => after.startsWith(word))) return { at: found.index, sure: true };
    if (follower.some((word) => word.startsWith(after))) return { at: found.index, sure: false };
  }
  return { at: text.length - partialEnd(text, words), sure: false };
}

/** At the end of the text a closing tag needs no follower. */
function lastValueEnd(text: string): number {
  const at = valueEnd(text).at;
  return text.startsWith(VALUE_END, at) || text.startsWith(FUNCTION_END, at) ? at : text.length;
}

function withoutNewline(text: string): string {
  return text.endsWith("\n") ? text.slice(0, -1) : text;
}

function escaped(text: string): string {
  return JSON.stringify(text).slice(1, -1);
}
