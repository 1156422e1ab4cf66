// Unloading a model: it takes no new requests, those that it has end, and then it goes. And starting a neuron's device
// anew, which is the same for all its models, after which they come back. Whoever does either has the neuron's turn.

import type { Dispatcher } from "undici";
import { GatewayError } from "../errors.ts";
import type { Fleet, ModelView } from "../fleet/fleet.ts";
import type { Journal, Reason } from "../telemetry/journal.ts";
import type { Leaving } from "./leaving.ts";
import type { Leases } from "./leases.ts";
import type { Log } from "../telemetry/log.ts";
import type { Control } from "../fleet/neuron-control.ts";
import { ControlError, loadModel, restartDevice, unloadModel } from "../fleet/neuron-control.ts";
import { isIdle } from "./placement.ts";
import type { Poller } from "../fleet/poller.ts";
import type { Stays } from "./stays.ts";
import type { Store } from "../store/store.ts";

/** What those work with who change what lies where. */
export interface Means {
  fleet: Fleet;
  poller: Pick<Poller, "refresh" | "nudge">;
  dispatcher: Dispatcher;
  store: Store;
  log: Log;
  leases: Leases;
  leaving: Leaving;
  stays: Stays;
  journal: Journal;
}

export interface Eviction {
  neuron: string;
  model: string;
  why: Reason;
  /** The model that needs the room. */
  inFavourOf?: string;
  /** Ends what runs instead of waiting for it. */
  force?: boolean;
}

/** Telling a neuron something that it does at once, and asking again whether a busy model has become idle. */
const [quickMs, askAgainMs] = [30_000, 500];

/** The key of the lease under which models come and go on a neuron. */
export function turnKey(neuron: string): string {
  return `neuron.${neuron}`;
}

export function controlOf(
  { fleet, dispatcher }: Means,
  neuron: string,
  ms: number,
  signal: AbortSignal,
): Control {
  return { dispatcher, endpoint: fleet.neuron(neuron).endpoint, timeoutMs: ms, signal };
}

/** Throws no_room when it does not become idle in time, ControlError, or the signal's reason. */
export async function evict(means: Means, eviction: Eviction, signal: AbortSignal): Promise<void> {
  const { neuron, model, why, inFavourOf, force = false } = eviction;
  const back = means.leaving.mark(neuron, model, "eviction");
  const limit = inTime(means, signal);
  means.poller.nudge(neuron);
  try {
    for (;;) {
      if (!force) await idle(means, neuron, [model], limit.signal);
      if (await unloaded(means, { neuron, model, force }, signal)) break;
      await pause(askAgainMs, limit.signal);
    }
    await means.poller.refresh(neuron);
    means.journal.unloaded(model, neuron, why, inFavourOf);
  } finally {
    limit.clear();
    back();
  }
}

/** The device of a neuron, opened anew when its models have nothing to do; afterwards they are all there again. */
export async function restart(means: Means, neuron: string, signal: AbortSignal): Promise<void> {
  const { fleet, leaving, journal, stays, poller } = means;
  const begunAt = fleet.now();
  const models = fleet
    .neuron(neuron)
    .models.filter(({ status }) => status === "loaded")
    .map(({ id, figures }) => ({ id, devices: figures.devices }));
  const back = models.map(({ id }) => leaving.mark(neuron, id, "restart"));
  const limit = inTime(means, signal);
  const loadMs = stays.settings.loading.timeout_s * 1000;
  poller.nudge(neuron);
  try {
    const ids = models.map(({ id }) => id);
    await idle(means, neuron, ids, limit.signal);
    limit.clear();
    await restartDevice(controlOf(means, neuron, loadMs, signal), {});
    fleet.renewed(neuron);
    await poller.refresh(neuron);
    const there = new Set(fleet.neuron(neuron).models.map(({ id }) => id));
    for (const { id, devices } of models.filter((model) => !there.has(model.id)))
      await loadModel(controlOf(means, neuron, loadMs, signal), stays.loadRequest(id, devices));
    await poller.refresh(neuron);
    journal.restarted(neuron, (fleet.now() - begunAt) / 1000);
  } finally {
    limit.clear();
    for (const undo of back) undo();
  }
}

/** False when it is still at work: another gateway's request has slipped in. */
async function unloaded(
  means: Means,
  { neuron, model, force }: { neuron: string; model: string; force: boolean },
  signal: AbortSignal,
): Promise<boolean> {
  try {
    await unloadModel(controlOf(means, neuron, quickMs, signal), { model_id: model, force });
    return true;
  } catch (error) {
    if (!(error instanceof ControlError)) throw error;
    if (error.code === "model_not_found") return true;
    if (error.code === "model_busy") return false;
    throw error;
  }
}

/** Resolves when none of the models has anything to do, or is there any more. */
function idle(
  { fleet }: Means,
  neuron: string,
  models: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const rests = (model: ModelView) => model.status !== "loaded" || isIdle(model, fleet.now());
  return fleet.until(() => {
    if (!fleet.has(neuron)) return true;
    const here = fleet.neuron(neuron).models.filter(({ id }) => models.includes(id));
    return here.every(rests);
  }, signal);
}

/** The signal, or no_room after eviction.drain_s. */
function inTime({ stays }: Means, signal: AbortSignal): { signal: AbortSignal; clear: () => void } {
  const late = new AbortController();
  const timer = setTimeout(
    () => late.abort(new GatewayError("no_room", "The models that would have to go are still at work.")),
    stays.settings.eviction.drain_s * 1000,
  );
  return { signal: AbortSignal.any([signal, late.signal]), clear: () => clearTimeout(timer) };
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(done, ms);
    const onAbort = () => {
      clearTimeout(timer);
      reject(signal.reason as Error);
    };
    signal.addEventListener("abort", onAbort);
    if (signal.aborted) onAbort();
    function done() {
      signal.removeEventListener("abort", onAbort);
      resolve();
    }
  });
}
