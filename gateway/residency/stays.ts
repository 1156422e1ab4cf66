// What is agreed on the models' stay in the fleet: by models.toml and cortex.toml, and by an operator's pins, which all
// gateways share.

import type { LoadRequest } from "../../neuron/protocol.ts";
import type { CortexConfig, ModelsConfig } from "../config.ts";
import type { Stay } from "./eviction.ts";
import type { Fleet } from "../fleet/fleet.ts";
import type { Log } from "../telemetry/log.ts";
import { Pairs } from "./pairs.ts";
import type { Terms, Wanted } from "./placement.ts";
import type { Store } from "../store/store.ts";

export interface Agreements {
  models: ModelsConfig;
  loading: CortexConfig["loading"];
  eviction: CortexConfig["eviction"];
}

type Listed = ModelsConfig["models"][number];

/** Of a model that models.toml says nothing of. */
const usual = { min_devices: 1, pinned_on: [] as string[], residency_priority: 100 };

export class Stays {
  private readonly fleet: Fleet;
  /** As they are now: the configuration may be read anew. */
  private readonly agreed: () => Agreements;
  /** By an operator's word, besides those of models.toml. */
  private readonly pins: Pairs;
  /** Pinned, and unloaded by an operator all the same: not loaded again until somebody asks for it. */
  private readonly aside: Pairs;
  private readonly log: Log;

  constructor(fleet: Fleet, store: Store, log: Log, agreed: () => Agreements) {
    this.fleet = fleet;
    this.agreed = agreed;
    this.log = log;
    this.pins = new Pairs(store, log, "pins");
    this.aside = new Pairs(store, log, "aside");
  }

  get settings(): Omit<Agreements, "models"> {
    return this.agreed();
  }

  async start(): Promise<void> {
    await Promise.all([this.pins.start(), this.aside.start()]);
  }

  stop(): void {
    this.pins.stop();
    this.aside.stop();
  }

  /** Keeps a model where it is, until it is unpinned; what models.toml pins stays pinned. */
  async pin(neuron: string, model: string, pinned: boolean): Promise<void> {
    await this.pins.set(neuron, model, pinned);
  }

  /** Of a model that models.toml pins there; a store that is away costs the memory of it. */
  async putAside(neuron: string, model: string, aside: boolean): Promise<void> {
    if (this.isAside(neuron, model) === aside || !this.listed(model).pinned_on.includes(neuron)) return;
    try {
      await this.aside.set(neuron, model, aside);
    } catch (error) {
      this.log.warn("not remembered as set aside", { neuron, model, aside, reason: String(error) });
    }
  }

  isAside(neuron: string, model: string): boolean {
    return this.aside.has(neuron, model);
  }

  isPinned(neuron: string, model: string): boolean {
    return this.pins.has(neuron, model) || this.listed(model).pinned_on.includes(neuron);
  }

  /** True for what can be loaded: models.toml names it, or it was seen on a neuron that can load it again. */
  knows(model: string): boolean {
    return this.entry(model) !== undefined || (this.fleet.recall(model)?.neurons.size ?? 0) > 0;
  }

  wanted(model: string): Wanted {
    const { vram_mb, min_devices, min_device_vram_mb, pinned_on, residency_priority } = this.listed(model);
    const remembered = this.fleet.recall(model);
    return {
      id: model,
      needMb: vram_mb ?? remembered?.memoryMb,
      minDevices: min_devices,
      minDeviceMb: min_device_vram_mb,
      // Only the neurons that had it know where it came from.
      pinnedOn: this.entry(model) ? pinned_on : [...(remembered?.neurons ?? [])],
      priority: residency_priority,
    };
  }

  /** What models.toml pins, in its order. */
  pinned(): Wanted[] {
    const { models } = this.agreed().models;
    return models.filter(({ pinned_on }) => pinned_on.length > 0).map(({ id }) => this.wanted(id));
  }

  /** What a neuron is told to load, on those of its devices. */
  loadRequest(model: string, devices: readonly number[]): LoadRequest {
    const entry = this.entry(model);
    if (!entry) return { model_id: model };
    const { source = model, quant, context_length } = entry;
    const spread = devices.length > 1 && { devices: [...devices] }; // by which way, the neuron finds out
    return {
      ...{ model_id: model, source, ...spread },
      ...(quant !== undefined && { quant }),
      ...(context_length !== undefined && { context_length }),
    };
  }

  terms(): Terms {
    return {
      strategy: this.agreed().eviction.strategy,
      now: this.fleet.now(),
      stayOf: (neuron, model) => this.stayOf(neuron, model),
      memoryOf: (model) => this.listed(model).vram_mb ?? this.fleet.recall(model)?.memoryMb,
    };
  }

  private stayOf(neuron: string, model: string): Stay {
    const { residency_priority, idle_unload_s } = this.listed(model);
    return {
      priority: residency_priority,
      pinned: this.isPinned(neuron, model),
      idleUnloadMs: 1000 * (idle_unload_s ?? this.agreed().eviction.idle_unload_s),
    };
  }

  private entry(model: string): Listed | undefined {
    return this.agreed().models.models.find(({ id }) => id === model);
  }

  private listed(model: string): Partial<Listed> & typeof usual {
    return this.entry(model) ?? usual;
  }
}
