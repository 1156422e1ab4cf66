// Finds tool calls in the answer's text and passes them on while they grow. Two forms, both inside <tool_call>:
// Qwen's XML (tool-xml.ts) and Hermes' JSON (tool-json.ts). What turns out to be no call is given back as text.

import type { Tool } from "../serve/types.ts";
import { Held, findFirst, leadingSpace, partialEnd } from "./held.ts";
import type { Run } from "./held.ts";
import { createJsonBody, readJsonHead } from "./tool-json.ts";
import type { JsonHead } from "./tool-json.ts";
import { createXmlBody } from "./tool-xml.ts";
import type { CallBody } from "./tool-xml.ts";

export type ToolPiece =
  | ({ type: "content" } & Run)
  | { type: "tool_call"; index: number; id: string; name: string }
  | { type: "tool_arguments"; index: number; json: string };

export interface ToolParser {
  push(run: Run): ToolPiece[];
  /**
   * `whole`: the model ended its answer by itself, so an open call is closed. Otherwise it was cut off and its JSON
   * stays broken, because a client must not run half a command.
   */
  finish(whole: boolean): ToolPiece[];
  /** How many calls were made. */
  calls(): number;
}

const OPEN = "<tool_call>";
const CLOSE = "</tool_call>";
const FUNCTION = "<function=";

/** How a call may begin inside reasoning that the model forgot to close. */
export const callOpenings: readonly string[] = [`${OPEN}\n${FUNCTION}`, `${OPEN}\n{"name"`];

/**
 * text: outside of calls · opening: at a marker, the name not yet known · body: the arguments · behind: after them,
 * the closing tag or another function may come · between: after a call
 */
type State = "text" | "opening" | "body" | "behind" | "between";

export function createToolParser(tools: readonly Tool[], callId: (index: number) => string): ToolParser {
  const held = new Held();
  const named = new Map(tools.map((tool) => [tool.function.name, tool]));
  // Qwen3-Coder sometimes forgets <tool_call>; with the name of a tool we have, its intent is clear.
  const markers = [OPEN, ...tools.map((tool) => `${FUNCTION}${tool.function.name}>`)];
  let state: State = "text";
  let body: CallBody | undefined;
  let calls = 0;
  let pieces: ToolPiece[] = [];

  function emitText(n: number): void {
    if (n > 0) pieces.push({ type: "content", ...held.take(n) });
  }

  function write(json: string): void {
    const last = pieces.at(-1);
    if (last?.type === "tool_arguments") last.json += json;
    else if (json !== "") pieces.push({ type: "tool_arguments", index: calls - 1, json });
  }

  function openCall(name: string): void {
    pieces.push({ type: "tool_call", index: calls, id: callId(calls), name });
    calls += 1;
  }

  /** White space is held back: before a call it is layout. */
  function text(): boolean {
    const found = findFirst(held.text, markers);
    const end = found?.index ?? held.text.length - partialEnd(held.text, markers);
    emitText(held.text.slice(0, end).trimEnd().length);
    if (found) state = "opening";
    return found !== undefined;
  }

  function opening(): boolean {
    const space = leadingSpace(held.text);
    const marker = held.text.startsWith(OPEN, space) ? OPEN.length : 0;
    const head = readOpening(held.text.slice(space + marker));
    if (head === "wait") return false;
    if (head === "bad") {
      // Behind a finished function there is no marker to give back, but a "<" to get past.
      emitText(space + (marker || 1));
      state = "text";
      return true;
    }
    held.drop(space + marker + head.length);
    openCall(head.name);
    if (head.json === undefined)
      body = head.form === "xml" ? createXmlBody(named.get(head.name), write) : createJsonBody(write);
    else write(head.json);
    state = head.json === undefined ? "body" : "behind";
    return true;
  }

  function behind(): boolean {
    const rest = held.text.trimStart();
    if (rest.startsWith(CLOSE)) {
      held.drop(held.text.length - rest.length + CLOSE.length);
      state = "between";
    } else if (rest.startsWith(FUNCTION)) state = "opening";
    else if ([CLOSE, FUNCTION].some((word) => word.startsWith(rest))) return false;
    else state = "between";
    return true;
  }

  function between(): boolean {
    held.drop(leadingSpace(held.text));
    if (held.text === "") return false;
    state = "text";
    return true;
  }

  const steps: Record<State, () => boolean> = {
    text,
    opening,
    body: () => {
      const done = body!.step(held);
      if (done) state = "behind";
      return done;
    },
    behind,
    between,
  };

  function collected(): ToolPiece[] {
    const result = pieces;
    pieces = [];
    return result;
  }

  return {
    push(run) {
      held.push(run);
      while (steps[state]());
      return collected();
    },
    finish(whole) {
      if (state === "body") body!.finish(held, whole);
      else if (state === "text" || state === "opening") emitText(held.text.length);
      return collected();
    },
    calls: () => calls,
  };
}

type Opening = ({ form: "xml" | "json" } & JsonHead) | "wait" | "bad";

/** What follows the marker: the head of a call in one of the two forms, up to its arguments. */
function readOpening(text: string): Opening {
  const space = leadingSpace(text);
  const rest = text.slice(space);
  if (FUNCTION.startsWith(rest)) return "wait";
  if (rest.startsWith("{")) {
    const head = readJsonHead(rest);
    return typeof head === "string" ? head : { ...head, form: "json", length: space + head.length };
  }
  if (!rest.startsWith(FUNCTION)) return "bad";
  const [whole, name] = /^<function=([^<>\n]*)>/.exec(rest) ?? [];
  if (whole !== undefined && name?.trim())
    return { form: "xml", name: name.trim(), length: space + whole.length, json: undefined };
  return whole === undefined && /^<function=[^<>\n]*$/.test(rest) ? "wait" : "bad";
}
