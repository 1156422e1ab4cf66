// How long a prompt is, before the answer's first word: our neurons tell it there when they are asked, and clients of
// Anthropic's dialect read it there. A server of another make is asked beside the request itself, in whichever way it
// knows; where it is slower than the answer, or knows none, the length comes with the end.

import { Stop } from "../wire/stop.ts";
import type { Server } from "./server.ts";

export interface PromptLength {
  /** Undefined as long as nobody knows. */
  tokens: number | undefined;
}

/** One that knows no way, or does not answer, is left alone for a while: it may write each such request into its log. */
const askAgainMs = 600_000;
const countLimitMs = 10_000;
const leftAloneUntil = new WeakMap<Server, number>();

/**
 * Nobody waits for `count`, which ends with the client's request, and after a while by itself: undefined means that the
 * server knows no way, while what it throws tells nothing of the next prompt.
 */
export function promptLength(
  server: Server,
  request: Stop,
  count: (stop: Stop) => Promise<number | undefined>,
): PromptLength {
  const length: PromptLength = { tokens: undefined };
  if (performance.now() < (leftAloneUntil.get(server) ?? 0)) return length;
  const learn = (tokens: number | undefined) => {
    length.tokens = tokens;
    if (tokens === undefined) leftAloneUntil.set(server, performance.now() + askAgainMs);
  };
  const stop = new Stop();
  const end = () => {
    stop.abort(new Error("the request that the count was for has ended"));
  };
  request.onAbort(end);
  const timer = setTimeout(() => {
    learn(undefined);
    stop.abort(new Error(`no count within ${countLimitMs} ms`));
  }, countLimitMs);
  timer.unref();
  // Where it cannot be reached, the request itself says so.
  void count(stop)
    .then(learn, () => undefined)
    .finally(() => {
      clearTimeout(timer);
      request.off(end);
    });
  return length;
}
