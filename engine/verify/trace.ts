// A forward pass with everything kept: logits at all positions and the intermediates that model files name. This is
// what `verify` holds against a reference; it runs the same networks and kernels as serving does, in any cut, and beside
// other sequences.
import type { Gpu } from "../gpu/adapter.ts";
import type { Peers } from "../gpu/pass.ts";
import type { Plan } from "../gpu/plan.ts";
import { Recording } from "../gpu/recording.ts";
import { bufferOf, readAllF32 } from "../gpu/readback.ts";
import { free, permanent, type Tensor } from "../gpu/tensor.ts";
import type { ModelConfig } from "../models/config.ts";
import { clearState, copyPage, restoreState, saveState, writeTable } from "../models/copies.ts";
import { createMemory, freeMemory } from "../models/memory.ts";
import type { Memory, Network } from "../models/network.ts";
import { ropeTable } from "../models/rope.ts";
import type { KvFormat } from "../ops/kv-cache.ts";
import {
  createEntrance,
  createFeed,
  freeEntrance,
  writeBatch,
  writeInputs,
  writePlaces,
} from "../serve/entrance.ts";
import type { Entrance, Feed, FedPicture } from "../serve/entrance.ts";
import { PAGE, pagesFor } from "../serve/pages.ts";
import { tunePlans } from "../serve/plans.ts";

/**
 * Tokens of a run; or one token in a run that other sequences share; or what another sequence has computed of them, and
 * the rest.
 */
export type Piece = number | "shared" | "cached";

/** Sequences in memory, the slot of the one that is traced, and of one that it may begin with. */
const slots = 3;
export const ownSlot = 1;
const otherSlot = 2;

/** Values by the names of the reference's goldens; rows are tokens, in order, however the run was cut. */
export type Trace = Map<string, Float32Array>;

interface Traced {
  entrance: Entrance;
  plan: Plan;
  /** Everything to read, `logits` among it. */
  tensors: ReadonlyMap<string, Tensor>;
}

export class Tracer {
  readonly memory: Memory;
  readonly vocab: number;
  /** Of the model's, the first whose memory this is. */
  readonly firstLayer: number;
  readonly gpu: Gpu;
  readonly #rope: Tensor;
  readonly #many: Traced;
  readonly #one: Traced;
  readonly #batch: Traced;
  /** Of the sequence that is traced. */
  #pages: readonly number[] = [];
  #length = 0;
  #delta = 0;

  private constructor(
    gpu: Gpu,
    { vocab, firstLayer }: { vocab: number; firstLayer: number },
    memory: Memory,
    rope: Tensor,
    plans: [Traced, Traced, Traced],
  ) {
    this.gpu = gpu;
    this.vocab = vocab;
    this.firstLayer = firstLayer;
    this.memory = memory;
    this.#rope = rope;
    [this.#many, this.#one, this.#batch] = plans;
  }

  /** Plans for sequences of up to `capacity` tokens, by what suits the device where its tuning is to measure that. */
  static async create(
    gpu: Gpu,
    network: Network,
    config: ModelConfig,
    capacity: number,
    peers: Peers = {},
    format?: KvFormat,
  ): Promise<Tracer> {
    const memory = createMemory(gpu, config, { capacity, slots, snapshots: 1, format });
    const rope = permanent(gpu, "rope", [capacity, config.rope.dims / 2, 2], ropeTable(config, capacity));
    const rows = Math.floor(gpu.limits.maxStorageBufferBindingSize / (4 * config.vocab));
    const pictureWidth = config.vision ? config.hidden : undefined;
    const plan = (tokens: number, batch: boolean) =>
      record(
        ...([gpu, network, memory] as const),
        createEntrance(gpu, { capacity: tokens, rope, pictureWidth, batch }),
        peers,
      );
    const chunk = Math.max(1, Math.min(capacity, rows));
    const hooks = { begin: () => Promise.resolve(), end: () => undefined };
    await tunePlans(gpu, network, memory, rope, { chunk, ...peers }, hooks);
    const many = await plan(chunk, false);
    const one = await plan(1, false);
    const { vocab, stage } = config;
    return new Tracer(gpu, { vocab, firstLayer: stage?.firstLayer ?? 0 }, memory, rope, [
      ...([many, one] as const),
      await plan(slots, true),
    ]);
  }

  /** An empty sequence; what no run of it writes holds NaN, and no other's values that would do as well. */
  reset(): void {
    const caches = this.memory.layers.flatMap((layer) => (layer.kind === "attention" ? [layer.cache] : []));
    for (const tensor of caches.flatMap(({ k, v }) => [k, v])) {
      const nothing = new Uint32Array(tensor.storage.bytes / 4).fill(0xffff_ffff);
      this.gpu.device.queue.writeBuffer(bufferOf(tensor), 0, nothing);
    }
    for (let slot = 0; slot < slots; slot += 1) {
      clearState(this.gpu, this.memory, slot);
      writeTable(this.gpu, this.memory, slot, 0, this.#pagesOf(slot));
    }
    this.#pages = this.#pagesOf(ownSlot);
    this.#length = 0;
    this.#delta = 0;
  }

  /** Where the traced sequence lies. */
  get pages(): readonly number[] {
    return this.#pages;
  }

  /**
   * Feeds `ids`, `pictures` among them, in runs of at most `piece` tokens (1: the decode plan), token by token in
   * runs that other sequences share, or behind what another sequence computed, and gathers what each run made.
   */
  async feed(
    ids: readonly number[],
    piece: Piece = Infinity,
    pictures: readonly FedPicture[] = [],
  ): Promise<Trace> {
    const whole = createFeed(ids, pictures, this.#length + this.#delta);
    // Where tokens do not enter, pictures do not either: but all have the same positions.
    const feed = this.#many.entrance.inputs.pictures ? whole : { ...whole, pictures: [] };
    const runs: Trace[] = [];
    if (piece === "cached") runs.push(...(await this.#beginWithAnothers(feed)));
    const traced = piece === "shared" ? this.#batch : piece === 1 ? this.#one : this.#many;
    const most = piece === "shared" ? 1 : piece === "cached" ? Infinity : piece;
    for (let at = runs.length > 0 ? this.#length : 0; at < ids.length;) {
      const count = Math.min(most, traced.entrance.capacity, ids.length - at);
      if (piece === "shared") this.#writeShared(feed, at);
      else
        writeInputs(this.gpu, traced.entrance, feed, { from: at, count, past: this.#length, slot: ownSlot });
      runs.push(await this.#read(traced, piece === "shared" ? slots : count, count));
      this.#length += count;
      at += count;
    }
    this.#delta += feed.delta;
    return joinedTraces(runs);
  }

  /**
   * Another sequence computes the first part, its state is saved, and it goes on in its own way, which must be nothing
   * to ours: that shares its full pages, and has copies of the page that is not full and of the state.
   */
  async #beginWithAnothers(feed: Feed): Promise<Trace[]> {
    const most = Math.min(Math.floor((feed.ids.length * 2) / 3), this.#many.entrance.capacity);
    if (most === 0) return [];
    const trace = await this.#runOther(feed, 0, most);
    saveState(this.gpu, this.memory, otherSlot, 0);
    const others = feed.ids.slice(0, Math.min(this.memory.capacity - most, this.#many.entrance.capacity));
    await this.#runOther(createFeed(others.reverse(), [], most), most, others.length);
    this.#share(most);
    this.#length = most;
    return [trace];
  }

  #runOther(feed: Feed, past: number, count: number): Promise<Trace> {
    writeInputs(this.gpu, this.#many.entrance, feed, { from: 0, count, past, slot: otherSlot });
    return this.#read(this.#many, count, count);
  }

  #share(tokens: number): void {
    const [own, others] = [this.#pagesOf(ownSlot), this.#pagesOf(otherSlot)];
    const full = Math.floor(tokens / PAGE);
    this.#pages = [...others.slice(0, full), ...own.slice(full)];
    writeTable(this.gpu, this.memory, ownSlot, 0, this.#pages);
    if (tokens % PAGE > 0) copyPage(this.gpu, this.memory, others[full]!, own[full]!);
    restoreState(this.gpu, this.memory, 0, ownSlot);
  }

  /** Runs it for `tokens` tokens; the first `rows` rows of what it keeps. */
  async #read({ plan, tensors, entrance }: Traced, tokens: number, rows: number): Promise<Trace> {
    await plan.run(tokens);
    const read = await readAllF32(this.gpu, [...tensors.values()]);
    return new Map(
      [...tensors.keys()].map((name, i) => {
        const width = read[i]!.length / entrance.capacity;
        return [name, read[i]!.subarray(0, rows * width)];
      }),
    );
  }

  /** Each slot's own; no two that follow in a sequence lie together, as after hours of serving. */
  #pagesOf(slot: number): number[] {
    const count = pagesFor(this.memory.capacity);
    return Array.from({ length: count }, (_, i) => (count - 1 - i) * slots + slot);
  }

  /** Token `at` of the feed in the first column; beside it two other sequences, one of them some tokens ahead. */
  #writeShared(feed: Feed, at: number): void {
    const { entrance } = this.#batch;
    const ahead = Math.min(this.#length + 5, this.memory.capacity - 1);
    const id = (n: number) => feed.ids[(7 * at + n) % feed.ids.length]!;
    const tokens = [
      { id: feed.ids[at]!, position: 0, row: this.#length, slot: ownSlot },
      { id: id(1), position: this.#length, row: this.#length, slot: 2 },
      { id: id(2), position: ahead, row: ahead, slot: 0 },
    ];
    writeBatch(this.gpu, entrance, tokens);
    writeInputs(this.gpu, entrance, feed, { from: at, count: 1, past: 0 }); // its positions on three axes, its picture
    writePlaces(this.gpu, entrance, tokens);
  }

  destroy(): void {
    for (const { plan, entrance } of [this.#many, this.#one, this.#batch]) {
      plan.destroy();
      freeEntrance(entrance);
    }
    free(this.#rope);
    freeMemory(this.memory);
  }
}

async function record(
  gpu: Gpu,
  network: Network,
  memory: Memory,
  entrance: Entrance,
  peers: Peers,
): Promise<Traced> {
  const { capacity, batch, step } = entrance;
  const recording = new Recording(gpu, { capacity, batch, step, keep: true, ...peers });
  const logits = network.head(recording, network.body(recording, entrance.inputs, memory));
  const plan = await recording.finish(logits ? [logits] : []);
  const tensors = new Map([...plan.kept, ...(logits ? [["logits", logits] as const] : [])]);
  return { entrance, plan, tensors };
}

/** Runs of one sequence, one behind another. */
function joinedTraces(runs: readonly Trace[]): Trace {
  const names = [...(runs[0]?.keys() ?? [])];
  return new Map(names.map((name) => [name, joined(runs.map((run) => run.get(name)!))]));
}

export function joined(parts: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
