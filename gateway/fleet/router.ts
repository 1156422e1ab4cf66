// Which neuron answers a request: a function of what is known of the fleet. Pure.
//   load(model on neuron) = in flight + queued, as last polled, + what this gateway sent since
// The least loaded neuron wins; one whose last poll failed comes after those whose did not; ties go by name. Requests
// of one conversation go to the same neuron, which has its beginning in the cache, unless that one has clearly more to
// do. Which one that is follows from the names alone (rendezvous hashing): several gateways agree without a word, and
// a neuron that comes or goes moves only its own conversations.

import type { ModelView, NeuronView } from "./fleet.ts";

export type Decision =
  | { kind: "send"; neuron: string; url: string }
  /** It will be there: some neuron is loading it, or starts its device anew and then has it again. */
  | { kind: "loading"; percent: number | undefined }
  /** A neuron has it but cannot serve it now: it is unloading, failed to load, or goes down. */
  | { kind: "unavailable"; status: string }
  /** The neurons that had it are out of reach. */
  | { kind: "unreachable" }
  /** No neuron is in reach at all. */
  | { kind: "no_neuron" }
  /** None of those in reach has it. */
  | { kind: "unknown" };

interface Place {
  neuron: NeuronView;
  model: ModelView;
}

/** How many requests more than the least loaded neuron has one may wait behind for the sake of its cache. */
const patience = 2;

/** Where a request for `model` (a concrete id) goes; `tried` neurons have already failed this request. */
export function route(
  neurons: readonly NeuronView[],
  model: string,
  tried: ReadonlySet<string> = new Set(),
  affinity?: string,
): Decision {
  const places = neurons.flatMap((neuron) => placesOn(neuron, model));
  const servable = places.filter((place) => isServable(place) && !tried.has(place.neuron.name));
  const best = affinity === undefined ? servable.sort(byLoad)[0] : preferred(servable.sort(byLoad), affinity);
  if (best) return { kind: "send", neuron: best.neuron.name, url: best.model.url! };
  const reachable = places.filter(({ neuron }) => neuron.state === "healthy" && !tried.has(neuron.name));
  const coming = reachable.find(isComing);
  if (coming) return { kind: "loading", percent: coming.model.percent };
  if (reachable[0]) return { kind: "unavailable", status: statusOf(reachable[0].model) };
  if (!neurons.some(({ state }) => state === "healthy")) return { kind: "no_neuron" };
  return places.length > 0 ? { kind: "unreachable" } : { kind: "unknown" };
}

/** True when requests for the model may go there. */
export function serves(neuron: NeuronView, model: string): boolean {
  return placesOn(neuron, model).some(isServable);
}

/** Every model id that a healthy neuron has loaded, sorted. */
export function loadedModels(neurons: readonly NeuronView[]): string[] {
  const places = neurons.flatMap((neuron) => neuron.models.map((model) => ({ neuron, model })));
  return [...new Set(places.filter(isServable).map(({ model }) => model.id))].sort();
}

function isServable({ neuron, model }: Place): boolean {
  const open = neuron.state === "healthy" && !neuron.draining && model.use.leaving === undefined;
  return open && model.status === "loaded" && model.url !== undefined;
}

function isComing({ neuron, model }: Place): boolean {
  const words = ["loading", "recovering", "loaded"];
  return !neuron.draining && words.includes(model.status) && model.use.leaving !== "eviction";
}

/** What is said of a model that somebody is about to unload is what it will be. */
function statusOf({ status, use }: ModelView): string {
  return use.leaving === "eviction" ? "unloading" : status;
}

function placesOn(neuron: NeuronView, id: string): Place[] {
  return neuron.models.filter((model) => model.id === id).map((model) => ({ neuron, model }));
}

/** Of places, the best first, the one that a conversation belongs to. */
function preferred(places: readonly Place[], affinity: string): Place | undefined {
  const [best] = places;
  if (best === undefined) return undefined;
  const idle = places.filter(
    ({ neuron, model }) =>
      isDoubtful(neuron) === isDoubtful(best.neuron) && load(model) <= load(best.model) + patience,
  );
  const weight = (place: Place) => hash(`${affinity}\n${place.neuron.name}`);
  const own = places.reduce((a, b) => (weight(b) > weight(a) ? b : a));
  return idle.includes(own) ? own : best;
}

/** FNV-1a, then stirred: its upper bits alone would order keys that differ in one letter alike. */
function hash(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

function isDoubtful({ strikes }: NeuronView): boolean {
  return strikes > 0;
}

function byLoad(a: Place, b: Place): number {
  const doubt = Number(isDoubtful(a.neuron)) - Number(isDoubtful(b.neuron));
  return doubt || load(a.model) - load(b.model) || (a.neuron.name < b.neuron.name ? -1 : 1);
}

/** Requests that a model has to do with, as far as this gateway knows. */
export function load(model: ModelView): number {
  return Math.max(0, model.inFlight + model.queueDepth + model.ahead);
}
