// Stop strings: the text ends before the first of them, though they may arrive cut into tokens in any way.

import { Held, partialEnd } from "./held.ts";
import type { Run } from "./held.ts";

export interface StopFinder {
  /** What may go on; after a hit, nothing. */
  push(run: Run): Run;
  /** The rest, which turned out to be no stop string. */
  finish(): Run;
  /** The stop string that ended the text. */
  hit(): string | undefined;
}

/**
 * The stop string that is complete first wins, and of two that end together the longer one: the same answer
 * whatever the pieces are.
 */
export function createStopFinder(stops: readonly string[]): StopFinder {
  const held = new Held();
  let hit: string | undefined;

  function push(run: Run): Run {
    if (hit !== undefined) return { text: "", logprobs: [] };
    held.push(run);
    const found = firstComplete(held.text, stops);
    if (found) {
      hit = found.stop;
      return held.take(found.index);
    }
    return held.take(held.text.length - partialEnd(held.text, stops));
  }

  return {
    push,
    finish: () => held.take(hit === undefined ? held.text.length : 0),
    hit: () => hit,
  };
}

function firstComplete(
  text: string,
  stops: readonly string[],
): { stop: string; index: number; end: number } | undefined {
  return stops
    .map((stop) => ({ stop, index: text.indexOf(stop), end: text.indexOf(stop) + stop.length }))
    .filter(({ index }) => index >= 0)
    .sort((a, b) => a.end - b.end || a.index - b.index)[0];
}
