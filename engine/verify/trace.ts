// A forward pass with everything kept: logits at all positions and the intermediates that model files name. This is
// what `verify` holds against a reference; it runs the same networks and kernels as serving does, in any cut.
import type { Gpu } from "../gpu/adapter.ts";
import { Recording, type Plan } from "../gpu/plan.ts";
import { readF32 } from "../gpu/readback.ts";
import { elements, free, permanent, type Tensor } from "../gpu/tensor.ts";
import type { ModelConfig } from "../models/config.ts";
import { createMemory, freeMemory, resetMemory } from "../models/memory.ts";
import type { Memory, Network } from "../models/network.ts";
import { ropeTable } from "../models/rope.ts";
import { createEntrance, freeEntrance, writeInputs, type Entrance } from "../serve/runner.ts";

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
    const many = await record(gpu, network, memory, createEntrance(gpu, chunk, rope));
    const one = await record(gpu, network, memory, createEntrance(gpu, 1, rope));
    return new Tracer(gpu, config.vocab, memory, rope, many, one);
  }

  reset(): void {
    resetMemory(this.gpu, this.memory);
    this.#length = 0;
  }

  /** Feeds `ids` in runs of at most `chunk` tokens (1: the decode plan) and gathers what each run made. */
  async feed(ids: readonly number[], chunk = Infinity): Promise<Trace> {
    const traced = chunk === 1 ? this.#one : this.#many;
    const most = Math.min(chunk, traced.entrance.capacity);
    const pieces = new Map<string, Float32Array[]>();
    for (let at = 0; at < ids.length; at += most) {
      const run = ids.slice(at, at + most);
      writeInputs(this.gpu, traced.entrance, run, this.#length);
      traced.plan.submit(run.length);
      this.#length += run.length;
      for (const [name, tensor] of traced.tensors) {
        const width = elements(tensor.shape) / traced.entrance.capacity;
        const values = (await readF32(this.gpu, tensor)).subarray(0, run.length * width);
        pieces.set(name, [...(pieces.get(name) ?? []), values]);
      }
    }
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
