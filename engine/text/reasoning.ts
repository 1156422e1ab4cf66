// Parts the model's thoughts from its answer. A block opens at the start of the answer (or was opened by the
// prompt), and blocks may follow each other; once the answer proper has begun, a marker in it is text: people ask
// models about these very markers.

import { Held, findFirst, leadingSpace, partialEnd } from "./held.ts";
import type { Run } from "./held.ts";

export interface ReasoningMarkers {
  open: string;
  close: string;
}

export interface ReasoningOptions extends ReasoningMarkers {
  /** The prompt ends inside a block. */
  startsOpen: boolean;
  /** Texts that end a block without its close marker, and belong to the answer. */
  endedBy?: readonly string[];
}

export interface ReasoningPiece extends Run {
  type: "reasoning" | "content";
}

/** The pairs that models are known to use. */
export const knownMarkers: readonly ReasoningMarkers[] = [
  { open: "<think>", close: "</think>" },
  { open: "[THINK]", close: "[/THINK]" },
  { open: "<thought>", close: "</thought>" },
  { open: "<reasoning>", close: "</reasoning>" },
];

/**
 * What a stream has to split by: the template's own pair, or one that the vocabulary has tokens for.
 * `continued` is the text of an assistant message which the prompt leaves unfinished.
 */
export function reasoningOf(
  prompt: string,
  templateMarkers: ReasoningMarkers | undefined,
  idOf: (token: string) => number | undefined,
  continued = "",
): (ReasoningMarkers & { startsOpen: boolean }) | undefined {
  const hasTokens = ({ open, close }: ReasoningMarkers) =>
    idOf(open) !== undefined && idOf(close) !== undefined;
  const markers = templateMarkers ?? knownMarkers.find(hasTokens);
  if (!markers) return undefined;
  // Only the prompt's end counts: a user may have written an open marker anywhere.
  const endsOpen = prompt.trimEnd().endsWith(markers.open);
  const startsOpen = endsOpen || continued.lastIndexOf(markers.open) > continued.lastIndexOf(markers.close);
  return { ...markers, startsOpen };
}

/**
 * start: nothing but white space yet · opened, closed: behind a marker, before the first text ·
 * reasoning, content: inside · unclosed: content behind a block that only `endedBy` ended, whose close marker may
 * still come
 */
type State = "start" | "opened" | "reasoning" | "closed" | "content" | "unclosed";

export class ReasoningSplitter {
  readonly #options: ReasoningOptions;
  readonly #markers: readonly string[];
  /** What ends a block. */
  readonly #ends: readonly string[];
  readonly #held = new Held();
  #state: State;
  #pieces: ReasoningPiece[] = [];

  constructor(options: ReasoningOptions) {
    this.#options = options;
    this.#markers = [options.open, options.close];
    this.#ends = [options.close, ...(options.endedBy ?? [])];
    this.#state = options.startsOpen ? "opened" : "start";
  }

  push(run: Run): ReasoningPiece[] {
    this.#held.push(run);
    while (this.#step());
    return this.#collected();
  }

  /** The rest; a block that never closed is all reasoning. */
  finish(): ReasoningPiece[] {
    const behindMarker = this.#state === "opened" || this.#state === "closed";
    if (!behindMarker || this.#held.text.trim() !== "")
      this.#emit(this.open ? "reasoning" : "content", this.#held.text.length);
    return this.#collected();
  }

  /** True while a block is open. */
  get open(): boolean {
    return this.#state === "reasoning" || this.#state === "opened";
  }

  /** True when the state has changed, so that there may be more to do. */
  #step(): boolean {
    if (this.#held.text === "") return false;
    if (this.#state === "reasoning") return this.#inside();
    if (this.#state === "unclosed") return this.#behindUnclosed();
    if (this.#state !== "content") return this.#begin();
    this.#emit("content", this.#held.text.length);
    return false;
  }

  /** Behind white space: a marker, text, or not enough to tell. */
  #begin(): boolean {
    const { text } = this.#held;
    const space = leadingSpace(text);
    const rest = text.slice(space);
    const marker = this.#markers.find((word) => rest.startsWith(word));
    if (marker !== undefined) {
      this.#held.drop(space + marker.length);
      this.#state = marker === this.#options.open ? "opened" : "closed";
      return true;
    }
    if (this.#markers.some((word) => word.startsWith(rest))) return false;
    // Blank lines behind a marker are layout; the indent of the first line is the model's own.
    if (this.#state !== "start") this.#held.drop(text.slice(0, space).lastIndexOf("\n") + 1);
    this.#state = this.#state === "opened" ? "reasoning" : "content";
    return true;
  }

  /** White space is held back: before the close marker it is layout. */
  #inside(): boolean {
    const { text } = this.#held;
    const found = findFirst(text, this.#ends);
    const end = found?.index ?? text.length - partialEnd(text, this.#ends);
    const visible = text.slice(0, end).trimEnd().length;
    this.#emit("reasoning", visible);
    if (!found) return false;
    const closed = found.word === this.#options.close;
    this.#held.drop(end - visible + (closed ? found.word.length : 0));
    this.#state = closed ? "closed" : "unclosed";
    return true;
  }

  #behindUnclosed(): boolean {
    const { text } = this.#held;
    const { close } = this.#options;
    const index = text.indexOf(close);
    this.#emit("content", index < 0 ? text.length - partialEnd(text, [close]) : index);
    if (index < 0) return false;
    this.#held.drop(close.length);
    this.#state = "content";
    return true;
  }

  #emit(type: "reasoning" | "content", n: number): void {
    if (n > 0) this.#pieces.push({ type, ...this.#held.take(n) });
  }

  #collected(): ReasoningPiece[] {
    const pieces = this.#pieces;
    this.#pieces = [];
    return pieces;
  }
}
