// Several answers to one request (`n`): asked at once, heard as one stream. How many of them run side by side is the
// model's affair.

import { setImmediate } from "node:timers/promises";
import type { TextEvent, Usage } from "../engine/serve/types.ts";
import type { Encoder, Frame } from "./openai-answer.ts";

export interface ChoiceEvent {
  choice: number;
  event: TextEvent;
}

export type Ask = (signal: AbortSignal) => AsyncIterable<TextEvent>;

/** The first choice has the caller's seed, so that it is what n = 1 would say; each other one has its own. */
export function seedOf(seed: number | undefined, choice: number): number | undefined {
  if (seed === undefined || choice === 0) return seed;
  return (Math.abs(seed) + choice * 0x9e37_79b9_7f4a) % Number.MAX_SAFE_INTEGER;
}

/** All events, in the order in which they come. One refusal, which comes at once, refuses all before the first event. */
export async function* together(asks: readonly Ask[], signal: AbortSignal): AsyncGenerator<ChoiceEvent> {
  const own = new AbortController();
  const end = () => own.abort();
  if (signal.aborted) end();
  signal.addEventListener("abort", end, { once: true });
  const answers = asks.map((ask) => ask(own.signal)[Symbol.asyncIterator]());
  try {
    const firsts = answers.map((answer) => answer.next());
    const admitted = Promise.all(firsts);
    // An answer that only waits for its turn may begin when the others have ended: no waiting for that.
    await Promise.race([admitted, firsts[0]!.then(() => setImmediate())]);
    admitted.catch(() => undefined); // told below, by the answer itself
    yield* interleaved(answers, firsts);
  } finally {
    signal.removeEventListener("abort", end);
    own.abort();
    await Promise.allSettled(answers.map((answer) => answer.return?.()));
  }
}

/** One event of each answer is under way at any time, and no more: a slow reader slows them all. */
async function* interleaved(
  answers: readonly AsyncIterator<TextEvent>[],
  firsts: readonly Promise<IteratorResult<TextEvent>>[],
): AsyncGenerator<ChoiceEvent> {
  const come: (() => ChoiceEvent | undefined)[] = [];
  let wake: () => void = () => undefined;
  const arrive = (result: () => ChoiceEvent | undefined) => {
    come.push(result);
    wake();
  };
  const expect = (choice: number, coming: Promise<IteratorResult<TextEvent>>) => {
    coming.then(
      ({ done, value }) => arrive(() => (done ? undefined : { choice, event: value })),
      (error: unknown) =>
        arrive(() => {
          throw error;
        }),
    );
  };
  firsts.forEach((first, choice) => expect(choice, first));
  for (let open = answers.length; open > 0;) {
    if (come.length === 0) await new Promise<void>((resolve) => (wake = resolve));
    const event = come.shift()!();
    if (!event) {
      open -= 1;
      continue;
    }
    yield event;
    expect(event.choice, answers[event.choice]!.next());
  }
}

/** The prompt counts once, as it is one. */
export function summed(usages: readonly Usage[]): Usage {
  return usages.reduce((sum, usage) => ({
    ...sum,
    completionTokens: sum.completionTokens + usage.completionTokens,
    reasoningTokens: sum.reasoningTokens + usage.reasoningTokens,
    prefillMs: sum.prefillMs + usage.prefillMs,
    decodeMs: sum.decodeMs + usage.decodeMs,
  }));
}

export interface ChoicesEncoder {
  open(): Frame[];
  event(event: ChoiceEvent): Frame[];
  keepalive(): Frame;
}

/** One encoder a choice; what speaks of all of them comes behind the last. */
export function choicesEncoder(encoders: readonly Encoder[]): ChoicesEncoder {
  const usages: Usage[] = [];
  return {
    open: () => encoders.flatMap((encoder) => encoder.open()),
    event({ choice, event }) {
      if (event.type === "started" && choice > 0) return []; // the prompt's length is told once
      const frames = encoders[choice]!.event(event);
      if (event.type !== "finished") return frames;
      usages.push(event.usage);
      return usages.length < encoders.length ? frames : [...frames, ...encoders[0]!.end(summed(usages))];
    },
    keepalive: () => encoders[0]!.keepalive(),
  };
}
