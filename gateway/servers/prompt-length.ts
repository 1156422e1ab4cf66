// How long a prompt is, before the answer's first word: our neurons tell it there when they are asked, and clients of
// Anthropic's dialect read it there. A server of another make is asked beside the request itself, in whichever way it
// knows; where it is slower than the answer, or knows none, the length comes with the end.

import type { Server } from "./server.ts";

export interface PromptLength {
  /** Undefined as long as nobody knows. */
  tokens: number | undefined;
}

/** One that knows no way is left alone for a while: it may write each such request into its log. */
const askAgainMs = 600_000;
const leftAloneUntil = new WeakMap<Server, number>();

/** Nobody waits for `count`. */
export function promptLength(server: Server, count: () => Promise<number | undefined>): PromptLength {
  const length: PromptLength = { tokens: undefined };
  if (performance.now() < (leftAloneUntil.get(server) ?? 0)) return length;
  const learn = (tokens: number | undefined) => {
    length.tokens = tokens;
    if (tokens === undefined) leftAloneUntil.set(server, performance.now() + askAgainMs);
  };
  void count().then(learn, () => undefined); // where it cannot be reached, the request itself says so
  return length;
}
