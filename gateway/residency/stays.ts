// What is agreed on the models' stay in the fleet: by models.toml and cortex.toml, and by an operator's pins, which all
// gateways share.

import * as v from "valibot";
import type { LoadRequest } from "../../neuron/protocol.ts";
import { amend } from "../store/amend.ts";
import type { CortexConfig, ModelsConfig } from "../config.ts";
import type { Stay } from "./eviction.ts";
import type { Fleet } from "../fleet/fleet.ts";
import type { Log } from "../telemetry/log.ts";
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

const pinsKey = "pins";
const Pins = v.array(v.tuple([v.string(), v.string()]));

export class Stays {
  private readonly fleet: Fleet;
  private readonly store: Store;
  private readonly log: Log;
  /** As they are now: the configuration may be read anew. */
  private readonly agreed: () => Agreements;
  /** Neuron and model. */
  private pins: [string, string][] = [];
  private unwatch = () => {};

  constructor(fleet: Fleet, store: Store, log: Log, agreed: () => Agreements) {
    this.fleet = fleet;
    this.store = store;
    this.log = log;
    this.agreed = agreed;
  }

  get settings(): Omit<Agreements, "models"> {
    return this.agreed();
  }

  async start(): Promise<void> {
    this.unwatch = this.store.watch(pinsKey, (change) => {
      if (change.key === pinsKey) this.pins = change.kind === "put" ? pinsIn(change.entry.value) : [];
    });
    try {
      this.pins = pinsIn((await this.store.get(pinsKey))?.value);
    } catch (error) {
      this.log.warn("pins not read", { reason: String(error) });
    }
  }

  stop(): void {
    this.unwatch();
  }

  /** Keeps a model where it is, until it is unpinned; what models.toml pins stays pinned. */
  async pin(neuron: string, model: string, pinned: boolean): Promise<void> {
    await amend(
      this.store,
      pinsKey,
      (value) => {
        const others = pinsIn(value).filter(([n, m]) => n !== neuron || m !== model);
        this.pins = pinned ? [...others, [neuron, model]] : others;
        return { value: JSON.stringify(this.pins), result: undefined };
      },
      {},
    );
  }

  isPinned(neuron: string, model: string): boolean {
    const byHand = this.pins.some(([n, m]) => n === neuron && m === model);
    return byHand || this.listed(model).pinned_on.includes(neuron);
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

  /** What a neuron is told to load, on those of its devices. */
  loadRequest(model: string, devices: readonly number[]): LoadRequest {
    const entry = this.entry(model);
    if (!entry) return { model_id: model };
    const { source = model, quant, context_length } = entry;
    const spread = devices.length > 1 && { devices: [...devices], tensor_parallel: devices.length };
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

function pinsIn(value: string | undefined): [string, string][] {
  const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), Pins), value);
  return parsed.success ? parsed.output : [];
}
