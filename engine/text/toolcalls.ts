// Finds tool calls in the answer's text and passes them on while they grow. Two forms, both inside <tool_call>:
// Qwen's XML (tool-xml.ts) and Hermes' JSON (tool-json.ts). What turns out to be no call is given back as text.

import type { Tool } from "../serve/types.ts";
import { Held, findFirst, leadingSpace, partialEnd } from "./held.ts";
import type { Run } from "./held.ts";
import { JsonBody, readJsonHead } from "./tool-json.ts";
import type { JsonHead } from "./tool-json.ts";
import { XmlBody } from "./tool-xml.ts";
import type { CallBody } from "./tool-xml.ts";

export type ToolPiece =
  | ({ type: "content" } & Run)
  | { type: "tool_call"; index: number; id: string; name: string }
  | { type: "tool_arguments"; index: number; json: string };

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

export class ToolParser {
  readonly #tools: ReadonlyMap<string, Tool>;
  readonly #markers: readonly string[];
  readonly #callId: (index: number) => string;
  readonly #held = new Held();
  #state: State = "text";
  #body: CallBody | undefined;
  #pieces: ToolPiece[] = [];
  /** How many calls were made. */
  calls = 0;

  constructor(tools: readonly Tool[], callId: (index: number) => string) {
    this.#tools = new Map(tools.map((tool) => [tool.function.name, tool]));
    // Qwen3-Coder sometimes forgets <tool_call>; with the name of a tool we have, its intent is clear.
    this.#markers = [OPEN, ...tools.map((tool) => `${FUNCTION}${tool.function.name}>`)];
    this.#callId = callId;
  }

  push(run: Run): ToolPiece[] {
    this.#held.push(run);
    while (this.#step());
    return this.#collected();
  }

  /**
   * `whole`: the model ended its answer by itself, so an open call is closed. Otherwise it was cut off and its JSON
   * stays broken, because a client must not run half a command.
   */
  finish(whole: boolean): ToolPiece[] {
    if (this.#state === "body") this.#body!.finish(this.#held, whole);
    else if (this.#state === "text" || this.#state === "opening") this.#emitText(this.#held.text.length);
    return this.#collected();
  }

  /** True when the state has changed, so that there may be more to do. */
  #step(): boolean {
    switch (this.#state) {
      case "text":
        return this.#text();
      case "opening":
        return this.#opening();
      case "body":
        if (!this.#body!.step(this.#held)) return false;
        this.#state = "behind";
        return true;
      case "behind":
        return this.#behind();
      case "between":
        return this.#between();
    }
  }

  /** White space is held back: before a call it is layout. */
  #text(): boolean {
    const { text } = this.#held;
    const found = findFirst(text, this.#markers);
    const end = found?.index ?? text.length - partialEnd(text, this.#markers);
    this.#emitText(text.slice(0, end).trimEnd().length);
    if (found) this.#state = "opening";
    return found !== undefined;
  }

  #opening(): boolean {
    const { text } = this.#held;
    const space = leadingSpace(text);
    const marker = text.startsWith(OPEN, space) ? OPEN.length : 0;
    const head = readOpening(text.slice(space + marker));
    if (head === "wait") return false;
    if (head === "bad") {
      // Behind a finished function there is no marker to give back, but a "<" to get past.
      this.#emitText(space + (marker || 1));
      this.#state = "text";
      return true;
    }
    this.#held.drop(space + marker + head.length);
    this.#open(head);
    return true;
  }

  #open({ form, name, json }: Exclude<Opening, string>): void {
    const index = this.calls++;
    this.#pieces.push({ type: "tool_call", index, id: this.#callId(index), name });
    if (json !== undefined) this.#write(json);
    else if (form === "xml") this.#body = new XmlBody(this.#tools.get(name), (piece) => this.#write(piece));
    else this.#body = new JsonBody((piece) => this.#write(piece));
    this.#state = json === undefined ? "body" : "behind";
  }

  #behind(): boolean {
    const rest = this.#held.text.trimStart();
    if ([CLOSE, FUNCTION].some((word) => word.startsWith(rest) && word !== rest)) return false;
    if (rest.startsWith(CLOSE)) this.#held.drop(this.#held.text.length - rest.length + CLOSE.length);
    this.#state = rest.startsWith(FUNCTION) ? "opening" : "between";
    return true;
  }

  #between(): boolean {
    this.#held.drop(leadingSpace(this.#held.text));
    if (this.#held.text === "") return false;
    this.#state = "text";
    return true;
  }

  #emitText(n: number): void {
    if (n > 0) this.#pieces.push({ type: "content", ...this.#held.take(n) });
  }

  #write(json: string): void {
    if (json !== "") this.#pieces.push({ type: "tool_arguments", index: this.calls - 1, json });
  }

  #collected(): ToolPiece[] {
    const pieces = this.#pieces;
    this.#pieces = [];
    return pieces;
  }
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
