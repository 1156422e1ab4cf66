// Requests to a step loop, and all that is heard of them.
import type { Turns } from "./turns.ts";
import type { GenerateEvent, GenerateRequest, Sampling } from "./types.ts";

export const greedy: Sampling = {
  ...{ temperature: 0, topK: 0, topP: 1, minP: 0, seed: undefined },
  ...{ repetitionPenalty: 1, presencePenalty: 0, frequencyPenalty: 0, logitBias: {} },
};

export interface Heard {
  id: number;
  events: GenerateEvent[];
  failure?: unknown;
  over: Promise<void>;
}

let next = 1;

/** `cancelAt`: the caller leaves after so many tokens. */
export function ask(turns: Turns, request: GenerateRequest, cancelAt = Infinity): Heard {
  const id = next++;
  const heard: Heard = { id, events: [], over: Promise.resolve() };
  heard.over = new Promise((resolve) => {
    const event = (event: GenerateEvent) => {
      heard.events.push(event);
      if (event.type === "finished") resolve();
      else if (tokensOf(heard).length === cancelAt) turns.cancel(id);
    };
    const failed = (error: unknown) => {
      heard.failure = error;
      resolve();
    };
    turns.submit(id, request, { event, failed });
  });
  return heard;
}

export function tokensOf({ events }: Heard) {
  return events.filter((event) => event.type === "token");
}

export function idsOf(heard: Heard): number[] {
  return tokensOf(heard).map(({ id }) => id);
}

export function endOf({ events, failure }: Heard) {
  const last = events.at(-1);
  if (last?.type !== "finished") throw new Error(`${last?.type}: ${String(failure)}`);
  return last;
}
