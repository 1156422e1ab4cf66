// Which models lie on which neurons, and how that changes: by requests for models that are not there, by operators, by
// idleness. One object for routes and requests; the parts are beside it.

import type { Loadable } from "../fleet/catalogue.ts";
import { GatewayError } from "../errors.ts";
import { evict, restart, turnKey, type Means } from "./evictions.ts";
import type { Happening, LoadReport } from "../fleet/protocol.ts";
import { Journal } from "../telemetry/journal.ts";
import { Leases } from "./leases.ts";
import { Leaving } from "./leaving.ts";
import { Loads } from "./loads.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { ControlError } from "../fleet/neuron-control.ts";
import { newId } from "../ids.ts";
import { feasibleOn } from "./placement.ts";
import { Preloads } from "./preloads.ts";
import type { Decision } from "../fleet/router.ts";
import type { Agreements } from "./stays.ts";
import { Stays } from "./stays.ts";
import { Upkeep } from "./upkeep.ts";

export interface ResidencyParts extends Pick<Means, "fleet" | "poller" | "dispatcher" | "store" | "log"> {
  metrics: Metrics;
  /** As they are now. */
  agreed: () => Agreements;
}

export class Residency {
  readonly stays: Stays;
  readonly loads: Loads;
  readonly journal: Journal;
  private readonly means: Means;
  private readonly leaving: Leaving;
  private readonly upkeep: Upkeep;

  constructor({ metrics, agreed, ...parts }: ResidencyParts) {
    const { fleet, store, log } = parts;
    const owner = newId("gw_");
    this.stays = new Stays(fleet, store, log, agreed);
    this.journal = new Journal(log, metrics.registry, () => this.loads.waiting);
    this.leaving = new Leaving(fleet, store, log, owner);
    const leases = new Leases(store, log, owner);
    this.means = { ...parts, leases, leaving: this.leaving, stays: this.stays, journal: this.journal };
    this.loads = new Loads(this.means);
    this.upkeep = new Upkeep(this.means, new Preloads(this.means, this.loads));
  }

  /** Looks after the fleet that often from now on. */
  async start(everyMs: number): Promise<void> {
    this.leaving.start();
    await this.stays.start();
    this.upkeep.start(everyMs);
  }

  async stop(): Promise<void> {
    await Promise.all([this.loads.close(), this.upkeep.stop()]);
    this.leaving.stop();
    this.stays.stop();
  }

  /** True when waiting helps a request that the router could not place: the model comes by itself or can be brought. */
  canBring(model: string, { kind }: Decision): boolean {
    if (kind === "loading") return true;
    if (kind === "send" || kind === "no_neuron") return false;
    return this.stays.settings.loading.on_demand && this.stays.knows(model);
  }

  /** An operator's load: resolves when the model takes requests on that neuron, or on any. Throws GatewayError. */
  load(model: string, neuron: string | undefined, signal: AbortSignal): Promise<void> {
    const withinMs = this.stays.settings.loading.timeout_s * 1000;
    return this.loads.bring(model, { signal, neuron, withinMs, byOperator: true });
  }

  /** Throws GatewayError: model_not_found, model_busy unless `force` ends what runs, model_unavailable. */
  async unload(model: string, neuron: string, force: boolean, signal: AbortSignal): Promise<void> {
    const { stays } = this.means;
    await stays.putAside(neuron, model, true);
    try {
      await this.takeAway(model, neuron, force, signal);
    } catch (error) {
      await stays.putAside(neuron, model, false);
      throw error;
    }
  }

  private async takeAway(model: string, neuron: string, force: boolean, signal: AbortSignal): Promise<void> {
    const { fleet, poller } = this.means;
    const look = async () => {
      await poller.refresh(neuron);
      const here = fleet.neuron(neuron).models.find(({ id }) => id === model);
      if (!here) throw notHere(model, neuron);
      const busy = here.use.running + here.inFlight + here.queueDepth > 0 || here.status === "loading";
      if (busy && !force) throw stillBusy(model);
      return here;
    };
    const forced = { neuron, model, why: "operator" as const, force: true };
    // Who loads it has the neuron's turn until that has ended: it ends now.
    if ((await look()).status === "loading")
      return this.asTold(neuron, model, () => evict(this.means, forced, signal));
    await this.inTurn(neuron, model, signal, async () => {
      const { status } = await look();
      await evict(this.means, { ...forced, force: force || status === "failed" }, signal);
    });
  }

  /** Opens a neuron's device anew once its models have nothing to do. */
  restart(neuron: string, signal: AbortSignal): Promise<void> {
    return this.inTurn(neuron, `of ${neuron}`, signal, () => restart(this.means, neuron, signal));
  }

  loadable(): Loadable {
    const { fleet, stays } = this.means;
    const terms = stays.terms();
    const feasible = (model: string) => feasibleOn(fleet.neurons, stays.wanted(model), terms);
    const limitOf = (model: string) => fleet.recall(model)?.limit;
    return { ids: fleet.rememberedIds(), feasibleOn: feasible, limitOf };
  }

  report(): { loads: LoadReport[]; happenings: Happening[] } {
    return { loads: this.loads.report(), happenings: this.journal.last };
  }

  private async inTurn(
    neuron: string,
    model: string,
    signal: AbortSignal,
    work: () => Promise<void>,
  ): Promise<void> {
    const { fleet, leases } = this.means;
    const turn = await leases.turn(turnKey(neuron), signal);
    const rest = fleet.work(neuron);
    try {
      await this.asTold(neuron, model, work);
    } finally {
      rest();
      await turn.release();
    }
  }

  /** An operator may hear why a neuron did not do as told. */
  private async asTold(neuron: string, model: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!(error instanceof ControlError)) throw error;
      const { code, message } = error;
      this.means.log.warn("a neuron did not do as told", { neuron, model, code, reason: message });
      throw new GatewayError("model_unavailable", `The neuron did not do it: ${message}`, null, {
        cause: error,
      });
    }
  }
}

function notHere(model: string, neuron: string): GatewayError {
  return new GatewayError(
    "model_not_found",
    `The model '${model}' is not on the neuron '${neuron}'.`,
    "model",
  );
}

function stillBusy(model: string): GatewayError {
  return new GatewayError("model_busy", `The model '${model}' is at work; wait, or unload it with force.`);
}
