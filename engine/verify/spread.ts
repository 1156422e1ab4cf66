// A model as one device has it, or spread over several, all of which are this one: what `verify` feeds.
import type { Gpu } from "../gpu/adapter.ts";
import type { Peers } from "../gpu/pass.ts";
import type { Checkpoint, TensorSource } from "../formats/checkpoint.ts";
import type { HeadShare, ModelConfig } from "../models/config.ts";
import { Loader } from "../models/loader.ts";
import { architectures } from "../models/registry.ts";
import type { KvFormat } from "../ops/kv-cache.ts";
import { AllReduce, createMeeting } from "../parallel/allReduce.ts";
import { createRing, SharedRelay } from "../parallel/relay.ts";
import { blockOf, sharesOf } from "../parallel/slices.ts";
import { sliced } from "../parallel/sliced.ts";
import { deal, length } from "../parallel/split.ts";
import { stagesOf } from "../parallel/stages.ts";
import type { FedPicture } from "../serve/entrance.ts";
import { readMemory } from "./memory.ts";
import { Tracer, type Piece, type Trace } from "./trace.ts";

/** What each device has: a part of every layer, or some of the layers; in proportion to these weights. */
export interface Spread {
  by: "tensor" | "pipeline";
  weights: readonly number[];
}

/** Parts that share a device wait for one another's work, on software for long, ms. */
const limitMs = 300_000;

/** What one device builds, and how it meets the others. */
interface Rank {
  config: ModelConfig;
  source: TensorSource;
  peers: Peers;
}

export interface TeamOptions {
  /** Tokens of the longest sequence. */
  capacity: number;
  kvCache?: KvFormat | undefined;
  /** Default: one device. */
  spread?: Spread | undefined;
}

export class Team {
  readonly tracers: readonly Tracer[];
  readonly #loaders: readonly Loader[];
  readonly #spread: Spread | undefined;
  /** Columns of the logits that each device has, where the head is dealt. */
  readonly #headWidths: readonly number[] | undefined;

  private constructor(
    tracers: readonly Tracer[],
    loaders: readonly Loader[],
    spread: Spread | undefined,
    head: HeadShare | undefined,
  ) {
    this.tracers = tracers;
    this.#loaders = loaders;
    this.#spread = spread;
    this.#headWidths = head?.spans.map(length);
  }

  /** Weights are there, and empty until `fill`. Errors: as loading; where the model cannot be spread so. */
  static async create(
    gpu: Gpu,
    checkpoint: Checkpoint,
    config: ModelConfig,
    { capacity, kvCache, spread }: TeamOptions,
  ): Promise<Team> {
    const ranks = spread
      ? ranksOf(checkpoint, config, spread, capacity)
      : [{ config, source: checkpoint, peers: {} }];
    const loaders = ranks.map(({ source }) => new Loader(gpu, source));
    const tracers: Tracer[] = [];
    try {
      for (const [i, { config: own, peers }] of ranks.entries()) {
        const network = await architectures[own.modelType](loaders[i]!, own);
        tracers.push(await Tracer.create(gpu, network, own, capacity, peers, kvCache));
      }
      return new Team(tracers, loaders, spread, ranks[0]!.config.head);
    } catch (error) {
      for (const tracer of tracers) tracer.destroy();
      for (const loader of loaders) loader.dispose();
      throw error;
    }
  }

  /** The one that also has what is before and behind the layers. */
  get leader(): Tracer {
    return this.tracers[0]!;
  }

  /** Of the leader; a vision tower may be loaded through it. */
  get loader(): Loader {
    return this.#loaders[0]!;
  }

  async fill(): Promise<void> {
    for (const loader of this.#loaders) await loader.fill();
  }

  reset(): void {
    for (const tracer of this.tracers) tracer.reset();
  }

  /** As Tracer.feed, on all devices at once: what is whole on one of them. */
  async feed(ids: readonly number[], piece?: Piece, pictures?: readonly FedPicture[]): Promise<Trace> {
    const traces = await Promise.all(this.tracers.map((tracer) => tracer.feed(ids, piece, pictures)));
    if (this.#spread?.by !== "tensor") return new Map(traces.flatMap((trace) => [...trace]));
    const whole = new Map([...traces[0]!].filter(([name]) => !name.endsWith("_in"))); // of its own heads
    const logits = traces.map((trace) => trace.get("logits")!);
    return this.#headWidths ? whole.set("logits", besideOneAnother(logits, this.#headWidths)) : whole;
  }

  /** What sequences remember, where a device has a layer whole. */
  async memory(tokens: number): Promise<Trace> {
    if (this.#spread?.by === "tensor") return new Map();
    const all: Trace = new Map();
    for (const tracer of this.tracers)
      for (const [name, values] of await readMemory(tracer, tokens)) all.set(name, values);
    return all;
  }

  destroy(): void {
    for (const tracer of this.tracers) tracer.destroy();
    for (const loader of this.#loaders) loader.dispose();
  }
}

function ranksOf(
  checkpoint: Checkpoint,
  config: ModelConfig,
  { by, weights }: Spread,
  capacity: number,
): Rank[] {
  if (by === "pipeline") {
    const ring = createRing(weights.length, config.hidden * capacity);
    const stages = stagesOf(config, deal(config.layers, weights, "num_hidden_layers"));
    return stages.map((own, i) => ({
      config: own,
      source: checkpoint,
      peers: { relay: new SharedRelay(ring, i, limitMs) },
    }));
  }
  const meeting = createMeeting({ ranks: weights.length, capacity: config.hidden * capacity });
  return sharesOf(config, weights, blockOf(checkpoint)).map((share) => ({
    config: share.config,
    source: sliced(checkpoint, share),
    peers: { exchange: new AllReduce(meeting, share.rank, limitMs) },
  }));
}

/** Rows of some columns each → rows of all.   parts: [T, widths[i]] → [T, Σ widths] */
export function besideOneAnother(parts: readonly Float32Array[], widths: readonly number[]): Float32Array {
  const width = widths.reduce((sum, one) => sum + one, 0);
  const whole = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let first = 0;
  for (const [i, part] of parts.entries()) {
    for (let t = 0; t * widths[i]! < part.length; t += 1)
      whole.set(part.subarray(t * widths[i]!, (t + 1) * widths[i]!), t * width + first);
    first += widths[i]!;
  }
  return whole;
}
