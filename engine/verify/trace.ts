// A forward pass with everything kept: logits at all positions and the intermediates that model files name. This is
// what `verify` holds against a reference; it runs the same networks and kernels as serving does, in any cut, and beside
// other sequences.
import type { Gpu } from "../gpu/adapter.ts";
import { Recording, type Exchange, type Plan } from "../gpu/plan.ts";
import { readAllF32 } from "../gpu/readback.ts";
import { free, permanent, type Tensor } from "../gpu/tensor.ts";
import type { ModelConfig } from "../models/config.ts";
import { createMemory, freeMemory, resetMemory } from "../models/memory.ts";
import type { Memory, Network } from "../models/network.ts";
import { ropeTable } from "../models/rope.ts";
import {
  createEntrance,
  createFeed,
  freeEntrance,
  writeBatch,
  writeInputs,
  writePlaces,
} from "../serve/entrance.ts";
import type { Entrance, Feed, FedPicture } from "../serve/entrance.ts";

/** Tokens of a run, or one token in a run that other sequences share. */
export type Piece = number | "shared";

/** Sequences in memory, and the slot of the one that is traced. */
const slots = 3;
export const ownSlot = 1;

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
  readonly gpu: Gpu;
  readonly #rope: Tensor;
  readonly #many: Traced;
  readonly #one: Traced;
  readonly #batch: Traced;
  #length = 0;
  #delta = 0;

  private constructor(
    gpu: Gpu,
    vocab: number,
    memory: Memory,
    rope: Tensor,
    plans: [Traced, Traced, Traced],
  ) {
    this.gpu = gpu;
    this.vocab = vocab;
    this.memory = memory;
    this.#rope = rope;
    [this.#many, this.#one, this.#batch] = plans;
  }

  /** Plans for sequences of up to `capacity` tokens. */
  static async create(
    gpu: Gpu,
    network: Network,
    config: ModelConfig,
    capacity: number,
    exchange?: Exchange,
  ): Promise<Tracer> {
    const memory = createMemory(gpu, config, capacity, slots);
    const rope = permanent(gpu, "rope", [capacity, config.rope.dims / 2, 2], ropeTable(config, capacity));
    const rows = Math.floor(gpu.limits.maxStorageBufferBindingSize / (4 * config.vocab));
    const pictureWidth = config.vision ? config.hidden : undefined;
    const plan = (tokens: number, batch: boolean) =>
      record(
        ...([gpu, network, memory] as const),
        createEntrance(gpu, { capacity: tokens, rope, pictureWidth, batch }),
        exchange,
      );
    const many = await plan(Math.max(1, Math.min(capacity, rows)), false);
    const one = await plan(1, false);
    return new Tracer(gpu, config.vocab, memory, rope, [many, one, await plan(slots, true)]);
  }

  reset(): void {
    for (let slot = 0; slot < slots; slot += 1) resetMemory(this.gpu, this.memory, slot);
    this.#length = 0;
    this.#delta = 0;
  }

  /**
   * Feeds `ids`, `pictures` among them, in runs of at most `piece` tokens (1: the decode plan), or token by token in
   * runs that other sequences share, and gathers what each run made.
   */
  async feed(
    ids: readonly number[],
    piece: Piece = Infinity,
    pictures: readonly FedPicture[] = [],
  ): Promise<Trace> {
    const feed = createFeed(ids, pictures, this.#length + this.#delta);
    const traced = piece === "shared" ? this.#batch : piece === 1 ? this.#one : this.#many;
    const most = piece === "shared" ? 1 : Math.min(piece, traced.entrance.capacity);
    const pieces = new Map<string, Float32Array[]>();
    for (let at = 0; at < ids.length; at += most) {
      const count = Math.min(most, ids.length - at);
      if (piece === "shared") this.#writeShared(feed, at);
      else
        writeInputs(this.gpu, traced.entrance, feed, { from: at, count, past: this.#length, slot: ownSlot });
      await traced.plan.run(piece === "shared" ? slots : count);
      this.#length += count;
      const read = await readAllF32(this.gpu, [...traced.tensors.values()]);
      for (const [i, name] of [...traced.tensors.keys()].entries()) {
        const width = read[i]!.length / traced.entrance.capacity;
        const values = read[i]!.subarray(0, count * width);
        const before = pieces.get(name);
        if (before) before.push(values);
        else pieces.set(name, [values]);
      }
    }
    this.#delta += feed.delta;
    return new Map([...pieces].map(([name, parts]) => [name, joined(parts)]));
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
  exchange: Exchange | undefined,
): Promise<Traced> {
  const { capacity, batch, step } = entrance;
  const recording = new Recording(gpu, { capacity, batch, step, keep: true, exchange });
  const logits = network.head(recording, network.body(recording, entrance.inputs, memory));
  const plan = await recording.finish([logits]);
  return { entrance, plan, tensors: new Map([...plan.kept, ["logits", logits]]) };
}

function joined(parts: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
