// Which neuron answers a request: a function of what is known of the fleet. Pure.
//   load(model on neuron) = in flight + queued, as last polled, + what this gateway sent since
// The least loaded neuron wins; one whose last poll failed comes after those whose did not; ties go by name.

import type { ModelView, NeuronView } from "./fleet.ts";

export type Decision =
  | { kind: "send"; neuron: string; url: string }
  /** It will be there: some neuron is loading it. */
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

/** Where a request for `model` (a concrete id) goes; `tried` neurons have already failed this request. */
export function route(
  neurons: readonly NeuronView[],
  model: string,
  tried: ReadonlySet<string> = new Set(),
): Decision {
  const places = neurons.flatMap((neuron) => placesOn(neuron, model));
  const servable = places.filter((place) => isServable(place) && !tried.has(place.neuron.name));
  const best = servable.sort(byLoad)[0];
  if (best) return { kind: "send", neuron: best.neuron.name, url: best.model.url! };
  const reachable = places.filter(({ neuron }) => neuron.state === "healthy" && !tried.has(neuron.name));
  const loading = reachable.find(({ model }) => model.status === "loading" || model.status === "loaded");
  if (loading && !loading.neuron.draining) return { kind: "loading", percent: loading.model.percent };
  if (reachable[0]) return { kind: "unavailable", status: reachable[0].model.status };
  if (!neurons.some(({ state }) => state === "healthy")) return { kind: "no_neuron" };
  return places.length > 0 ? { kind: "unreachable" } : { kind: "unknown" };
}

/** Every model id that a healthy neuron has loaded, sorted. */
export function loadedModels(neurons: readonly NeuronView[]): string[] {
  const places = neurons.flatMap((neuron) => neuron.models.map((model) => ({ neuron, model })));
  return [...new Set(places.filter(isServable).map(({ model }) => model.id))].sort();
}

function isServable({ neuron, model }: Place): boolean {
  return (
    neuron.state === "healthy" && !neuron.draining && model.status === "loaded" && model.url !== undefined
  );
}

function placesOn(neuron: NeuronView, id: string): Place[] {
  return neuron.models.filter((model) => model.id === id).map((model) => ({ neuron, model }));
}

function byLoad(a: Place, b: Place): number {
  const doubt = Number(a.neuron.strikes > 0) - Number(b.neuron.strikes > 0);
  return doubt || load(a.model) - load(b.model) || (a.neuron.name < b.neuron.name ? -1 : 1);
}

function load(model: ModelView): number {
  return Math.max(0, model.inFlight + model.queueDepth + model.ahead);
}
