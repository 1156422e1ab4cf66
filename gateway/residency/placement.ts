// On which neuron a model is loaded, and which models make room for it there. Pure.
//   free on devices = Σ their memory − what is not ours − Σ the models that lie there
// Before all: the neuron is in reach, is one that loads models, has the devices that the model needs, and is one of those
// that it is pinned on. Then, in this order: no doubt about the neuron; the model fits beside what is there; it fits
// when idle models go; it fits when models at work go; a real card; nothing else being loaded there; fewest to unload;
// fewest requests; most room; by name. What nobody knows the size of is taken to fit: the neuron is the judge.

import type { Resident, Stay, Strategy } from "./eviction.ts";
import { makeRoom } from "./eviction.ts";
import type { DeviceView, ModelView, NeuronView } from "../fleet/fleet.ts";
import { load } from "../fleet/router.ts";

export interface Wanted {
  id: string;
  /** On all its devices together, in MiB. */
  needMb: number | undefined;
  minDevices: number;
  /** Of each of them. */
  minDeviceMb: number | undefined;
  /** Names of neurons; empty: any. */
  pinnedOn: readonly string[];
  priority: number;
}

/** What placement is decided by, besides the fleet. */
export interface Terms {
  strategy: Strategy;
  /** As Fleet.now() counts. */
  now: number;
  stayOf(neuron: string, model: string): Stay;
  /** What a model takes, as far as anybody knows, in MiB. */
  memoryOf(model: string): number | undefined;
}

export type Placement =
  | { kind: "place"; neuron: string; /** Indices. */ devices: number[]; /** Ids. */ evict: string[] }
  /** No neuron has the devices for it. */
  | { kind: "infeasible" }
  /** Those which have are out of reach. */
  | { kind: "offline" }
  /** Those which have are taken by models that do not make room for it. */
  | { kind: "full" };

interface Candidate {
  neuron: NeuronView;
  devices: DeviceView[];
  /** Undefined where somebody's size is not known. */
  freeMb: number | undefined;
  evict: Resident[];
}

/** How long a model that has just been loaded is kept for those who have waited for it. */
const graceMs = 5000;

export function place(
  neurons: readonly NeuronView[],
  wanted: Wanted,
  terms: Terms,
  tried: ReadonlySet<string> = new Set(),
): Placement {
  const allowed = neurons.filter(
    ({ name, kind }) => kind === "neuron" && (wanted.pinnedOn.length === 0 || wanted.pinnedOn.includes(name)),
  );
  const fit = allowed.filter((neuron) => devicesFor(neuron, wanted, terms) !== undefined);
  // Of one that was never reached nobody knows what it could hold.
  const unknown = allowed.filter(({ state, devices }) => state !== "healthy" && devices.length === 0);
  if (fit.length + unknown.length === 0) return { kind: "infeasible" };
  const open = fit.filter(
    ({ state, draining, name }) => state === "healthy" && !draining && !tried.has(name),
  );
  if (open.length === 0) return { kind: "offline" };
  const candidates = open.flatMap((neuron) => candidate(neuron, wanted, terms) ?? []);
  const [best] = candidates.sort(byMerit);
  if (!best) return { kind: "full" };
  return {
    kind: "place",
    neuron: best.neuron.name,
    devices: best.devices.map(({ index }) => index).sort((a, b) => a - b),
    evict: best.evict.map(({ id }) => id),
  };
}

/** Names of the neurons that could hold the model if nothing else were there. */
export function feasibleOn(neurons: readonly NeuronView[], wanted: Wanted, terms: Terms): string[] {
  const anywhere = (name: string) => wanted.pinnedOn.length === 0 || wanted.pinnedOn.includes(name);
  return neurons
    .filter(({ name, kind, state }) => kind === "neuron" && state === "healthy" && anywhere(name))
    .filter((neuron) => devicesFor(neuron, wanted, terms) !== undefined)
    .map(({ name }) => name);
}

/** The models on a neuron that hold memory, as eviction sees them. */
export function residentsOn(neuron: NeuronView, terms: Terms): Resident[] {
  const { now } = terms;
  return neuron.models
    .filter(({ status }) => status !== "failed")
    .map((model) => ({
      ...terms.stayOf(neuron.name, model.id),
      id: model.id,
      memoryMb: memoryOf(model, terms),
      idle: model.status === "loaded" && isIdle(model, now),
      usedAt: model.use.usedAt,
    }));
}

/** True when nobody uses a model and nobody is about to: who waited for its load has come, or has had the time to. */
export function isIdle(model: ModelView, now: number): boolean {
  const { running, served, loadedAt } = model.use;
  return running === 0 && load(model) === 0 && (served || now - loadedAt >= graceMs);
}

/** Undefined where the model cannot go, whoever makes room. */
function candidate(neuron: NeuronView, wanted: Wanted, terms: Terms): Candidate | undefined {
  const devices = devicesFor(neuron, wanted, terms)!;
  const freeMb = freeOn(neuron, devices, wanted.id, terms);
  const found = { neuron, devices, freeMb };
  if (wanted.needMb === undefined || freeMb === undefined || freeMb >= wanted.needMb)
    return { ...found, evict: [] };
  const indices = devices.map(({ index }) => index);
  const here = neuron.models.filter(({ figures }) =>
    figures.devices.some((index) => indices.includes(index)),
  );
  const others = residentsOn({ ...neuron, models: here }, terms).filter(({ id }) => id !== wanted.id);
  const evict = makeRoom(others, wanted.needMb - freeMb, wanted.priority, terms.strategy);
  return evict && { ...found, evict };
}

/** The roomiest of the devices that are large enough, as many as the model needs; undefined where they are too few. */
function devicesFor(neuron: NeuronView, wanted: Wanted, terms: Terms): DeviceView[] | undefined {
  const { minDevices, minDeviceMb = 0, needMb = 0 } = wanted;
  const room = (device: DeviceView) => freeOn(neuron, [device], wanted.id, terms) ?? Infinity;
  const devices = neuron.devices
    .filter(({ totalMb }) => totalMb === null || totalMb >= minDeviceMb)
    .sort((a, b) => (room(b) === room(a) ? a.index - b.index : room(b) - room(a)))
    .slice(0, minDevices);
  if (devices.length < minDevices) return undefined;
  return needMb <= devices.reduce((mb, { totalMb }) => mb + (totalMb ?? Infinity), 0) ? devices : undefined;
}

function freeOn(
  neuron: NeuronView,
  devices: readonly DeviceView[],
  except: string,
  terms: Terms,
): number | undefined {
  const indices = devices.map(({ index }) => index);
  let free = 0;
  for (const { totalMb, othersMb } of devices) {
    if (totalMb === null) return undefined;
    free += totalMb - (othersMb ?? 0);
  }
  for (const model of neuron.models) {
    if (model.id === except || model.status === "failed") continue;
    const on = model.figures.devices;
    const shared = on.filter((index) => indices.includes(index)).length;
    free -= (memoryOf(model, terms) * shared) / Math.max(1, on.length);
  }
  return free;
}

function memoryOf({ id, figures }: ModelView, terms: Terms): number {
  return figures.memoryMb ?? terms.memoryOf(id) ?? 0;
}

function byMerit(a: Candidate, b: Candidate): number {
  const [x, y] = [merits(a), merits(b)];
  const i = x.findIndex((value, at) => value !== y[at]);
  return i < 0 ? (a.neuron.name < b.neuron.name ? -1 : 1) : x[i]! - y[i]!;
}

/** The smaller, the better; what comes first weighs most. */
function merits({ neuron, devices, freeMb, evict }: Candidate): number[] {
  const { models, strikes } = neuron;
  const loading = models.filter(({ status }) => status === "loading").length;
  return [
    strikes > 0 ? 1 : 0,
    evict.length === 0 ? 0 : evict.every(({ idle }) => idle) ? 1 : 2,
    devices.some(({ kind }) => kind === "software") ? 1 : 0,
    loading,
    evict.length,
    models.reduce((sum, model) => sum + load(model), 0),
    -(freeMb ?? 0),
  ];
}
