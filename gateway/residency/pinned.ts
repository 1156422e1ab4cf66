// Which of the pinned models are loaded next, without anybody asking for them. Pure.
//   on each neuron one after another, those of the highest priority first
//   only where they find room beside what is at work: nobody waits for them, so nobody who works makes room
//   never into the room that a pinned model of a higher priority still needs, for neither could make the other go
//   one that failed, or that was lost again soon, is tried again after a pause that doubles each time

import type { NeuronView } from "../fleet/fleet.ts";
import type { Placement, Terms, Wanted } from "./placement.ts";
import { isIdle, place } from "./placement.ts";

export interface Pin {
  neuron: string;
  model: string;
}

/** How often in a row a pinned model was loaded, or tried, and when last, as Fleet.now() counts. */
export interface Attempts {
  count: number;
  at: number;
}

const [shortestPauseMs, longestPauseMs] = [1000, 900_000];

/** One more attempt; those before a long rest are forgiven. */
export function attempted(before: Attempts | undefined, now: number): Attempts {
  const rested = before === undefined || now - before.at >= 2 * longestPauseMs;
  return { count: rested ? 1 : before.count + 1, at: now };
}

/** How long after its last attempt a model is left alone. */
export function pauseAfter({ count }: Attempts): number {
  return Math.min(shortestPauseMs * 2 ** (count - 1), longestPauseMs);
}

export type Next =
  | { kind: "load"; pin: Pin }
  /** It has to wait for room, or will never have it. */
  | { kind: "wait"; pin: Pin; why: Exclude<Placement["kind"], "place"> | "promised" };

/** What is to be done for each neuron's pins; `rests` says of which models nothing is to be heard now. */
export function nextPins(
  neurons: readonly NeuronView[],
  pinned: readonly Wanted[],
  terms: Terms,
  rests: (pin: Pin) => boolean,
): Next[] {
  const byPriority = [...pinned].sort((a, b) => b.priority - a.priority);
  const open = neurons.filter(
    ({ kind, state, draining }) => kind === "neuron" && state === "healthy" && !draining,
  );
  return open.flatMap((neuron) => {
    const own = byPriority.filter(({ pinnedOn }) => pinnedOn.includes(neuron.name));
    return nextOn(neuron, own, gently(terms, neuron), rests);
  });
}

/** Terms by which what is at work makes no room. */
export function gently(terms: Terms, { name, models }: NeuronView): Terms {
  const isAtWork = (id: string) => models.some((model) => model.id === id && !isIdle(model, terms.now));
  return {
    ...terms,
    stayOf: (neuron, id) => {
      const stay = terms.stayOf(neuron, id);
      return neuron === name && isAtWork(id) ? { ...stay, pinned: true } : stay;
    },
  };
}

/** Those that wait, up to the one that is to be loaded. */
function nextOn(
  neuron: NeuronView,
  pinned: readonly Wanted[],
  terms: Terms,
  rests: (pin: Pin) => boolean,
): Next[] {
  // Its figures are about to change.
  if (neuron.models.some(({ status }) => status === "loading" || status === "unloading")) return [];
  const next: Next[] = [];
  const totalMb = neuron.devices.reduce((sum, { totalMb }) => sum + (totalMb ?? Infinity), 0);
  let promisedMb = 0;
  for (const model of pinned) {
    const pin = { neuron: neuron.name, model: model.id };
    const placement = place([neuron], model, terms);
    const needMb = placement.kind === "infeasible" ? 0 : (model.needMb ?? 0);
    const isPromised = promisedMb + needMb > totalMb;
    if (!isPromised) promisedMb += needMb;
    if (isThere(neuron, model.id) || rests(pin)) continue;
    if (placement.kind === "place" && !isPromised) return [...next, { kind: "load", pin }];
    next.push({ kind: "wait", pin, why: placement.kind === "place" ? "promised" : placement.kind });
  }
  return next;
}

/** One that failed is not, and holds nothing. */
function isThere({ models }: NeuronView, id: string): boolean {
  return models.some((model) => model.id === id && model.status !== "failed");
}
