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

export interface ReasoningSplitter {
  push(run: Run): ReasoningPiece[];
  /** A block that never closed is all reasoning. */
  finish(): ReasoningPiece[];
  /** True while a block is open. */
  open(): boolean;
}

/** The pairs that models are known to use. */
export const knownMarkers: readonly ReasoningMarkers[] = [
  { open: "<think>", close: "</think>" },
  { open: "[THINK]", close: "[/THINK]" },
  { open: "<thought>", close: "</thought>" },
  { open: "<reasoning>", close: "</reasoning>" },
];

/**
 * start: nothing but white space yet · opened, closed: behind a marker, before the first text ·
 * reasoning, content: inside · unclosed: content behind a block that only `endedBy` ended, whose close marker may
 * still come
 */
type State = "start" | "opened" | "reasoning" | "closed" | "content" | "unclosed";

export function createReasoningSplitter(options: ReasoningOptions): ReasoningSplitter {
  const { open, close, endedBy = [] } = options;
  const held = new Held();
  let state: State = options.startsOpen ? "opened" : "start";
  let pieces: ReasoningPiece[] = [];

  function emit(type: "reasoning" | "content", n: number): void {
    if (n > 0) pieces.push({ type, ...held.take(n) });
  }

  /** Behind white space: a marker, text, or not enough to tell. True when the state has changed. */
  function begin(): boolean {
    const space = leadingSpace(held.text);
    const rest = held.text.slice(space);
    const marker = [open, close].find((word) => rest.startsWith(word));
    if (marker !== undefined) {
      held.drop(space + marker.length);
      state = marker === open ? "opened" : "closed";
      return true;
    }
    if ([open, close].some((word) => word.startsWith(rest))) return false;
    // Blank lines behind a marker are layout; the indent of the first line is the model's own.
    if (state !== "start") held.drop(held.text.slice(0, space).lastIndexOf("\n") + 1);
    state = state === "opened" ? "reasoning" : "content";
    return true;
  }

  function inside(): boolean {
    const found = findFirst(held.text, [close, ...endedBy]);
    const end = found?.index ?? held.text.length - partialEnd(held.text, [close, ...endedBy]);
    const text = held.text.slice(0, end).trimEnd().length;
    emit("reasoning", text);
    if (!found) return false;
    held.drop(end - text);
    if (found.word === close) held.drop(close.length);
    state = found.word === close ? "closed" : "unclosed";
    return true;
  }

  function behindUnclosed(): boolean {
    const index = held.text.indexOf(close);
    emit("content", index < 0 ? held.text.length - partialEnd(held.text, [close]) : index);
    if (index < 0) return false;
    held.drop(close.length);
    state = "content";
    return true;
  }

  function step(): boolean {
    if (state === "reasoning") return inside();
    if (state === "unclosed") return behindUnclosed();
    if (state !== "content") return held.text !== "" && begin();
    emit("content", held.text.length);
    return false;
  }

  function collected(): ReasoningPiece[] {
    const result = pieces;
    pieces = [];
    return result;
  }

  return {
    push(run) {
      held.push(run);
      while (step());
      return collected();
    },
    finish() {
      const blank = held.text.trim() === "" && (state === "opened" || state === "closed");
      if (!blank)
        emit(state === "reasoning" || state === "opened" ? "reasoning" : "content", held.text.length);
      return collected();
    },
    open: () => state === "reasoning" || state === "opened",
  };
}
