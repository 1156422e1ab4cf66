// Bringing models into the fleet. Whoever wants one joins the load of it that is under way, in this gateway or, by a
// lease, in another; its failure is told to all who wait. One neuron changes its models one after another.
//   wait for others' load → the model's lease → a place → the neuron's turn → room → the load → routable

import { GatewayError, type GatewayErrorCode } from "../errors.ts";
import { evict, controlOf, turnKey, type Means } from "./evictions.ts";
import { inOrder, makeRoom, type Resident } from "./eviction.ts";
import type { NeuronView } from "../fleet/fleet.ts";
import type { LoadReport } from "../fleet/protocol.ts";
import { unlessAborted } from "./leases.ts";
import { failureFor, failureIn, noteOf } from "./load-failure.ts";
import { ControlError, loadModel } from "../fleet/neuron-control.ts";
import { gently } from "./pinned.ts";
import { place, residentsOn, type Terms, type Wanted } from "./placement.ts";
import { route, serves } from "../fleet/router.ts";

export interface Bringing {
  signal: AbortSignal;
  /** How long to wait for it. */
  withinMs: number;
  /** An operator's wish for one neuron. */
  neuron?: string | undefined;
  /** An operator may try again at once what has just failed, and names models that nobody knows. */
  byOperator?: boolean;
  /** Nobody waits for it: what is at work makes no room. */
  gently?: boolean;
  /** Neurons that are not to be asked. */
  except?: ReadonlySet<string>;
}

interface Load {
  readonly model: string;
  readonly key: string;
  readonly wish: Pick<Bringing, "neuron" | "byOperator" | "gently" | "except">;
  readonly startedAt: number;
  readonly abandon: AbortController;
  phase: LoadReport["phase"];
  neuron: string | undefined;
  waiting: number;
  /** A neuron has been told: it goes on even if nobody waits any more. */
  told: boolean;
  done: Promise<void>;
}

interface Task {
  wanted: Wanted;
  /** Another neuron may take it, and nothing would have to go there. */
  isRoomElsewhere: () => boolean;
}

/** Neurons that are tried for one load. */
const mostNeurons = 2;
/** A look at the whole fleet before a place is chosen; one that hangs is not waited for. */
const lookMs = 1000;
const routableMs = 10_000;

export class Loads {
  private readonly means: Means;
  private readonly running = new Map<string, Load>();
  private readonly closing = new AbortController();

  constructor(means: Means) {
    this.means = means;
  }

  /** Resolves when the model takes requests. Throws GatewayError, or the signal's reason. */
  async bring(model: string, bringing: Bringing): Promise<void> {
    const { neuron, withinMs, signal } = bringing;
    const key = neuron === undefined ? model : `${model}\n${neuron}`;
    const load = this.running.get(key) ?? this.begin(key, model, bringing);
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(tooLong(model)), withinMs);
    load.waiting++;
    try {
      await unlessAborted(load.done, AbortSignal.any([signal, late.signal]));
    } finally {
      clearTimeout(timer);
      if (--load.waiting === 0 && !load.told) this.giveUp(load);
    }
  }

  report(): LoadReport[] {
    const { fleet } = this.means;
    return [...this.running.values()].map(({ model, neuron, phase, waiting, startedAt }) => {
      const views = neuron !== undefined && fleet.has(neuron) ? fleet.neuron(neuron).models : [];
      const percent = phase === "loading" ? views.find(({ id }) => id === model)?.percent : undefined;
      return {
        ...{ model, phase, waiting, secs: Math.floor((fleet.now() - startedAt) / 1000) },
        ...(neuron !== undefined && { neuron }),
        ...(percent !== undefined && { percent }),
      };
    });
  }

  /** How far the load of a model is; undefined where none is under way. */
  progressOf(model: string): LoadReport | undefined {
    return this.report().find((load) => load.model === model);
  }

  get waiting(): number {
    return [...this.running.values()].reduce((sum, load) => sum + load.waiting, 0);
  }

  /** Ends what has not begun; what neurons do already they do to its end. */
  async close(): Promise<void> {
    this.closing.abort(new GatewayError("shutting_down", "The gateway is shutting down."));
    await Promise.allSettled([...this.running.values()].map(({ done }) => done));
  }

  private begin(key: string, model: string, bringing: Bringing): Load {
    const { neuron, byOperator = false, gently = false, except = new Set() } = bringing;
    const load: Load = {
      ...{ model, key, wish: { neuron, byOperator, gently, except } },
      ...{ startedAt: this.means.fleet.now(), abandon: new AbortController() },
      ...{ phase: "waiting", neuron, waiting: 0, told: false, done: Promise.resolve() },
    };
    this.running.set(key, load);
    const signal = AbortSignal.any([this.closing.signal, load.abandon.signal]);
    load.done = this.run(load, signal).catch((error: unknown) => {
      throw error instanceof GatewayError ? error : failureFor(model, error, this.means.log);
    });
    load.done.catch(() => undefined).finally(() => this.leave(load));
    return load;
  }

  private giveUp(load: Load): void {
    this.leave(load);
    load.abandon.abort(new GatewayError("model_loading", "Nobody waits for it any more."));
  }

  private leave(load: Load): void {
    if (this.running.get(load.key) === load) this.running.delete(load.key);
  }

  private async run(load: Load, signal: AbortSignal): Promise<void> {
    const { leases } = this.means;
    const key = `load.${load.key}`;
    for (;;) {
      if (this.isThere(load)) return;
      if (load.wish.neuron === undefined) await this.awaitOthers(load, signal);
      if (this.isThere(load)) return;
      const changed = leases.changed(key, signal);
      const lease = await leases.take(key);
      if (lease) {
        const failure: unknown = await this.lead(load, signal).catch((error: unknown) => error);
        await lease.release(noteOf(load.model, failure, this.means.log));
        if (failure !== undefined) throw failure;
        return;
      }
      const failure = failureIn(await leases.read(key));
      if (failure && !load.wish.byOperator) throw failure;
      if (failure) await leases.drop(key);
      else await this.watchOther(load, changed);
      signal.throwIfAborted();
    }
  }

  /** A neuron loads the model already: by itself at its start, or told by somebody. */
  private async awaitOthers(load: Load, signal: AbortSignal): Promise<void> {
    const { fleet } = this.means;
    const decide = () => route(fleet.neurons, load.model, load.wish.except);
    if (decide().kind !== "loading") return;
    load.phase = "loading";
    load.neuron = fleet.neurons.find(({ models }) => models.some(({ id }) => id === load.model))?.name;
    await fleet.until(() => decide().kind !== "loading", signal);
    load.phase = "waiting";
    const failed = fleet.neurons
      .flatMap(({ models }) => models)
      .find(({ id, status }) => id === load.model && status === "failed");
    if (failed && decide().kind !== "send")
      throw failureFor(load.model, new Error(failed.error), this.means.log);
  }

  /** Another gateway has the lease: its load is ours too. */
  private async watchOther(load: Load, changed: Promise<void>): Promise<void> {
    load.phase = "loading";
    await changed;
    load.phase = "waiting";
    await this.look();
  }

  private async lead(load: Load, signal: AbortSignal): Promise<void> {
    const { fleet, stays, log } = this.means;
    await this.look();
    if (this.isThere(load)) return;
    const { neuron, except = new Set<string>() } = load.wish;
    const usual = stays.wanted(load.model);
    const wanted = neuron === undefined ? usual : { ...usual, pinnedOn: [neuron] };
    const tried = new Set<string>(except);
    let failure: unknown;
    const spared: string[] = []; // whose models were to stay, as long as another neuron may have the room
    for (let round = 0; ; round++) {
      const placement = place(fleet.neurons, wanted, this.termsFor(load, neuron), tried);
      const isNew = round < mostNeurons && placement.kind === "place";
      const target = isNew ? placement.neuron : spared.shift();
      if (target === undefined) {
        if (failure !== undefined || placement.kind === "place") throw failure;
        throw refusal(placement.kind, load.model);
      }
      load.neuron = target;
      tried.add(target);
      try {
        const isRoomElsewhere = () => {
          const other = place(fleet.neurons, wanted, this.termsFor(load, neuron), tried);
          const is = round + 1 < mostNeurons && other.kind === "place" && other.evict.length === 0;
          if (is) spared.push(target);
          return is;
        };
        return await this.loadOn(load, target, { wanted, isRoomElsewhere }, signal);
      } catch (error) {
        if (!(error instanceof ControlError) || error.code === "timeout") throw error;
        failure = error;
        if (error.code === "model_not_found") fleet.forget(target, load.model);
        log.warn("load failed on a neuron", {
          model: load.model,
          neuron: target,
          code: error.code,
        });
      }
    }
  }

  private async loadOn(load: Load, neuron: string, task: Task, signal: AbortSignal): Promise<void> {
    const { fleet, leases, poller } = this.means;
    load.phase = "waiting";
    const turn = await leases.turn(turnKey(neuron), signal);
    const rest = fleet.work(neuron);
    try {
      await poller.refresh(neuron);
      if (this.isThere(load)) return;
      // Afterwards it is neither loading any more nor, to those who come next, a load of somebody else's.
      await this.makeRoomAndLoad(load, neuron, task, signal).finally(() => poller.refresh(neuron));
      const limit = AbortSignal.any([signal, AbortSignal.timeout(routableMs)]);
      poller.nudge(neuron);
      const isLost = () => hasLost(fleet.neuron(neuron), load.model);
      await fleet.until(() => serves(fleet.neuron(neuron), load.model) || isLost(), limit);
      if (isLost()) throw new ControlError("lost", "loaded, and gone at the next look");
    } finally {
      rest();
      await turn.release();
    }
  }

  private async makeRoomAndLoad(
    load: Load,
    neuron: string,
    { wanted, isRoomElsewhere }: Task,
    signal: AbortSignal,
  ): Promise<void> {
    const { fleet } = this.means;
    const unpinned = { ...wanted, pinnedOn: [] };
    const here = () => place([fleet.neuron(neuron)], unpinned, this.termsFor(load, neuron));
    const clear = async (model: string) => {
      load.phase = "making room";
      await evict(this.means, { neuron, model, why: "room", inFavourOf: load.model }, signal);
    };
    for (;;) {
      const placement = here();
      if (placement.kind !== "place") throw refusal(placement.kind, load.model);
      for (const model of placement.evict) await clear(model);
      try {
        return await this.order(load, neuron, placement.devices, signal);
      } catch (error) {
        if (!(error instanceof ControlError) || error.code !== "out_of_memory") throw error;
        if (isRoomElsewhere()) throw error;
        const going = this.inTheWay(load, neuron, wanted, error);
        for (const { id } of going) await clear(id);
      }
    }
  }

  /**
   * What must go for a load that its neuron had no memory for: it knows better than our figures, so what it says that
   * it lacks, or one model where it does not say. Throws why nothing goes.
   */
  private inTheWay(load: Load, neuron: string, wanted: Wanted, refused: ControlError): Resident[] {
    const { fleet, stays, journal, log } = this.means;
    const { model } = load;
    const { code, message, lacksMb } = refused;
    const { strategy } = stays.settings.eviction;
    const others = residentsOn(fleet.neuron(neuron), this.termsFor(load, neuron)).filter(
      ({ id }) => id !== model,
    );
    const going =
      lacksMb > 0
        ? makeRoom(others, lacksMb, wanted.priority, strategy)
        : inOrder(others, wanted.priority, strategy).slice(0, 1);
    if (going && going.length > 0) {
      log.info("no room yet", { model, neuron, lacks_mb: lacksMb || undefined });
      return going;
    }
    journal.loadFailed(model, neuron, code, message);
    const holdMb = others.reduce((mb, { memoryMb }) => mb + memoryMb, 0);
    throw others.length > 0 && holdMb >= lacksMb ? new ControlError("no_room", message) : refused;
  }

  /** The load itself. */
  private async order(
    load: Load,
    neuron: string,
    devices: readonly number[],
    signal: AbortSignal,
  ): Promise<void> {
    const { fleet, stays, poller, journal } = this.means;
    const begunAt = fleet.now();
    load.phase = "loading";
    load.told = true;
    const control = controlOf(this.means, neuron, stays.settings.loading.timeout_s * 1000, signal);
    const loading = loadModel(control, stays.loadRequest(load.model, devices));
    poller.nudge(neuron);
    try {
      await loading;
    } catch (error) {
      // What finds no room may yet be given it.
      if (error instanceof ControlError && error.code !== "out_of_memory")
        journal.loadFailed(load.model, neuron, error.code, error.message);
      throw error;
    }
    journal.loaded(load.model, neuron, (fleet.now() - begunAt) / 1000);
    await stays.putAside(neuron, load.model, false);
  }

  private termsFor({ wish }: Load, neuron: string | undefined): Terms {
    const { fleet, stays } = this.means;
    const terms = stays.terms();
    return wish.gently && neuron !== undefined ? gently(terms, fleet.neuron(neuron)) : terms;
  }

  private isThere({ model, wish: { neuron, except } }: Load): boolean {
    const { fleet } = this.means;
    if (neuron !== undefined) return fleet.has(neuron) && serves(fleet.neuron(neuron), model);
    return route(fleet.neurons, model, except).kind === "send";
  }

  /** Asks all neurons how they are, so that nothing is decided by what was true some seconds ago. */
  private async look(): Promise<void> {
    const { fleet, poller } = this.means;
    const within = new Promise((resolve) => setTimeout(resolve, lookMs).unref());
    const healthy = fleet.neurons.filter(({ state }) => state === "healthy");
    await Promise.race([Promise.all(healthy.map(({ name }) => poller.refresh(name))), within]);
  }
}

/** By its last word, which was good, the neuron does not have the model. */
function hasLost({ state, strikes, models }: NeuronView, model: string): boolean {
  return state === "healthy" && strikes === 0 && models.every(({ id }) => id !== model);
}

function refusal(kind: "infeasible" | "offline" | "full", model: string): GatewayError {
  const table: Record<typeof kind, [GatewayErrorCode, string]> = {
    infeasible: ["no_feasible_neuron", `No neuron of this fleet can hold the model '${model}'.`],
    offline: ["model_unavailable", `The neurons that could load the model '${model}' are out of reach.`],
    full: [
      "no_room",
      `The model '${model}' finds no room: what is loaded is pinned, of a higher priority, or not ours.`,
    ],
  };
  return new GatewayError(...table[kind]);
}

function tooLong(model: string): GatewayError {
  return new GatewayError("model_loading", `The model '${model}' is still being loaded; try again shortly.`);
}
