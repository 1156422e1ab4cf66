// A forward pass with everything kept: logits at all positions and the intermediates that model files name. This is
// what `verify` holds against a reference; it runs the same networks and kernels as serving does, in any cut.
import type { Gpu } from "../gpu/adapter.ts";
import { Recording, type Plan } from "../gpu/plan.ts";
import { readAllF32 } from "../gpu/readback.ts";
import { free, permanent, type Tensor } from "../gpu/tensor.ts";
import type { ModelConfig } from "../models/config.ts";
import { createMemory, freeMemory, resetMemory } from "../models/memory.ts";
import type { Memory, Network } from "../models/network.ts";
import { ropeTable } from "../models/rope.ts";
import { createEntrance, createFeed, freeEntrance, writeInputs } from "../serve/entrance.ts";
import type { Entrance, FedPicture } from "../serve/entrance.ts";

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
  #length = 0;
  #delta = 0;

  private constructor(gpu: Gpu, vocab: number, memory: Memory, rope: Tensor, many: Traced, one: Traced) {
    this.gpu = gpu;
    this.vocab = vocab;
    this.memory = memory;
    this.#rope = rope;
    this.#many = many;
    this.#one = one;
  }

  /** Plans for sequences of up to `capacity` tokens. */
  static async create(gpu: Gpu, network: Network, config: ModelConfig, capacity: number): Promise<Tracer> {
    const memory = createMemory(gpu, config, capacity);
    const rope = permanent(gpu, "rope", [capacity, config.rope.dims / 2, 2], ropeTable(config, capacity));
    const rows = Math.floor(gpu.limits.maxStorageBufferBindingSize / (4 * config.vocab));
    const chunk = Math.max(1, Math.min(capacity, rows));
    const pictureWidth = config.vision ? config.hidden : undefined;
    const many = await record(
      gpu,
      network,
      memory,
      createEntrance(gpu, { capacity: chunk, rope, pictureWidth }),
    );
    const one = await record(gpu, network, memory, createEntrance(gpu, { capacity: 1, rope, pictureWidth }));
    return new Tracer(gpu, config.vocab, memory, rope, many, one);
  }

  reset(): void {
    resetMemory(this.gpu, this.memory);
    this.#length = 0;
    this.#delta = 0;
  }

  /**
   * Feeds `ids`, `pictures` among them, in runs of at most `chunk` tokens (1: the decode plan) and gathers what each
   * run made.
   */
  async feed(ids: readonly number[], chunk = Infinity, pictures: readonly FedPicture[] = []): Promise<Trace> {
    const feed = createFeed(ids, pictures, this.#length + this.#delta);
    const traced = chunk === 1 ? this.#one : this.#many;
    const most = Math.min(chunk, traced.entrance.capacity);
    const pieces = new Map<string, Float32Array[]>();
    for (let at = 0; at < ids.length; at += most) {
      const count = Math.min(most, ids.length - at);
      writeInputs(this.gpu, traced.entrance, feed, { from: at, count, past: this.#length });
      traced.plan.submit(count);
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

  destroy(): void {
    for (const { plan, entrance } of [this.#many, this.#one]) {
      plan.destroy();
      freeEntrance(entrance);
    }
    free(this.#rope);
    freeMemory(this.memory);
  }
}

async function record(gpu: Gpu, network: Network, memory: Memory, entrance: Entrance): Promise<Traced> {
  const recording = new Recording(gpu, { capacity: entrance.capacity, step: entrance.step, keep: true });
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
