// What is done to the fleet without anybody asking: pinned models are loaded, models that nobody uses are unloaded, and
// devices whose memory has come into pieces are started anew.

import { GatewayError } from "../errors.ts";
import { evict, restart, turnKey, type Means } from "./evictions.ts";
import { idleTooLong } from "./eviction.ts";
import type { NeuronView } from "../fleet/fleet.ts";
import { residentsOn } from "./placement.ts";
import type { Preloads } from "./preloads.ts";

/** A neuron on which it went wrong is left alone for a while. */
const restMs = 60_000;

export class Upkeep {
  private readonly means: Means;
  private readonly preloads: Preloads;
  private readonly closing = new AbortController();
  /** By neuron: not before then. */
  private readonly notBefore = new Map<string, number>();
  private timer: NodeJS.Timeout | undefined;
  private round: Promise<void> = Promise.resolve();

  constructor(means: Means, preloads: Preloads) {
    this.means = means;
    this.preloads = preloads;
  }

  start(everyMs: number): void {
    const next = () => {
      if (this.closing.signal.aborted) return;
      this.timer = setTimeout(() => {
        this.round = this.look().finally(next);
      }, everyMs);
    };
    next();
  }

  async stop(): Promise<void> {
    clearTimeout(this.timer);
    this.closing.abort(new GatewayError("shutting_down", "The gateway is shutting down."));
    await Promise.all([this.round, this.preloads.stop()]);
  }

  private async look(): Promise<void> {
    const { fleet } = this.means;
    const open = fleet.neurons.filter(
      ({ name, kind, state, draining }) =>
        kind === "neuron" &&
        state === "healthy" &&
        !draining &&
        fleet.now() >= (this.notBefore.get(name) ?? -Infinity),
    );
    this.preloads.look();
    await Promise.all(open.map((neuron) => this.tend(neuron)));
  }

  private async tend(neuron: NeuronView): Promise<void> {
    const { defrag_after_cycles } = this.means.stays.settings.eviction;
    const inPieces = defrag_after_cycles > 0 && neuron.cycles >= defrag_after_cycles;
    try {
      if (this.idleOn(neuron).length > 0) await this.inTurn(neuron, () => this.unloadIdle(neuron));
      if (inPieces) await this.inTurn(neuron, () => restart(this.means, neuron.name, this.closing.signal));
    } catch (error) {
      if (this.closing.signal.aborted) return;
      this.notBefore.set(neuron.name, this.means.fleet.now() + restMs);
      const reason = error instanceof Error ? error.message : String(error);
      if (inPieces) this.means.journal.restartFailed(neuron.name, reason);
      else this.means.log.warn("idle model not unloaded", { neuron: neuron.name, reason });
    }
  }

  private async unloadIdle(neuron: NeuronView): Promise<void> {
    for (const { id } of this.idleOn(neuron))
      await evict(this.means, { neuron: neuron.name, model: id, why: "idle" }, this.closing.signal);
  }

  private idleOn(neuron: NeuronView) {
    const { fleet, stays } = this.means;
    return idleTooLong(residentsOn(neuron, stays.terms()), fleet.now());
  }

  /** With fresh figures, and while nobody else changes anything there. */
  private async inTurn(neuron: NeuronView, work: () => Promise<void>): Promise<void> {
    const { leases, poller, fleet } = this.means;
    const turn = await leases.turn(turnKey(neuron.name), this.closing.signal);
    const rest = fleet.work(neuron.name);
    try {
      await poller.refresh(neuron.name);
      if (neuron.state === "healthy") await work();
    } finally {
      rest();
      await turn.release();
    }
  }
}
