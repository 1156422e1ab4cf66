// Recording is what a model file does when it is "called": each op notes its dispatches on the pass, and what comes out is
// a plan. How many tokens a run carries may vary up to the pass's capacity; kernels read it, and the position, from a small
// buffer, and grids are functions of it.
import { EngineError } from "../errors.ts";
import type { Gpu } from "./adapter.ts";
import { Handovers, type Handover, type Relay } from "./handovers.ts";
import { kernelsOf, type KernelRequest } from "./kernel.ts";
import type { Binding, DispatchOptions, Exchange, Extent, Pass, Peers } from "./pass.ts";
import type { Step } from "./piece.ts";
import { Plan, type Crossings } from "./plan.ts";
import { Sums, type Sum } from "./sums.ts";
import { allocateScratch, isSheet, type Life, type Scratch } from "./scratch.ts";
import { elements, isTexture, type Format, type Sheet, type Storage, type Tensor } from "./tensor.ts";

interface Recorded {
  readonly request: KernelRequest;
  readonly bindings: readonly (Binding | undefined)[];
  readonly groups: readonly [Extent, Extent, Extent];
  readonly flops: Extent;
}

export interface RecordOptions extends Peers {
  capacity: number;
  step: Tensor;
  /** Each token of a run is of a sequence of its own. */
  batch?: boolean;
  /** Keep the tensors named by `Pass.keep` readable after a run. */
  keep?: boolean;
}

export class Recording implements Pass {
  readonly gpu: Gpu;
  readonly capacity: number;
  readonly batch: boolean;
  readonly step: Tensor;
  readonly #keep: boolean;
  readonly #dispatches: Recorded[] = [];
  readonly #once: Recorded[] = [];
  readonly #scratch = new Map<Scratch, Life>();
  readonly #kept = new Map<string, Tensor>();
  readonly #exchange: Exchange | undefined;
  readonly #relay: Relay | undefined;
  readonly #sums: Sum[] = [];
  readonly #handovers: Handover[] = [];

  constructor(gpu: Gpu, options: RecordOptions) {
    this.gpu = gpu;
    this.capacity = options.capacity;
    this.batch = options.batch ?? false;
    this.step = options.step;
    this.#keep = options.keep ?? false;
    this.#exchange = options.exchange;
    this.#relay = options.relay;
  }

  get rank(): number {
    return this.#exchange?.rank ?? 0;
  }

  sum(part: Tensor): Tensor {
    if (!this.#exchange) return part;
    const after = this.#dispatches.length;
    const life = this.#scratch.get(part.storage);
    if (!life || life.first >= after)
      throw new Error(`${part.storage.label} is summed before it is computed`);
    life.last = after; // what comes next must not write there
    this.#sums.push({ after, tensor: part });
    return part;
  }

  send(tensor: Tensor, to: number): void {
    this.#handovers.push({ after: this.#dispatches.length, tensor, direction: "send", peer: to });
  }

  receive(tensor: Tensor, from: number): Tensor {
    const after = this.#dispatches.length;
    const life = this.#scratch.get(tensor.storage);
    if (life) Object.assign(life, { first: Math.min(life.first, after), last: Math.max(life.last, after) });
    this.#handovers.push({ after, tensor, direction: "receive", peer: from });
    return tensor;
  }

  scratch(shape: readonly number[], label = "scratch", format: Format = "f32"): Tensor {
    const bytes = elements(shape) * 4;
    const limit = this.gpu.limits.maxStorageBufferBindingSize;
    if (bytes > limit) {
      const size = `${label} [${shape.join(", ")}] needs ${bytes} bytes`;
      throw new EngineError("out_of_memory", `${size}, and ${this.gpu.report.name} binds at most ${limit}`);
    }
    const storage: Storage = { label, bytes, buffer: undefined };
    this.#scratch.set(storage, { first: Infinity, last: -1 });
    return { shape: [...shape], format, storage };
  }

  sheet(texels: number, rows: number, label: string): Sheet {
    const sheet: Sheet = { label, size: [texels, rows], texture: undefined };
    this.#scratch.set(sheet, { first: Infinity, last: -1 });
    return sheet;
  }

  dispatch(kernel: string, bindings: readonly (Binding | undefined)[], options: DispatchOptions): void {
    const { once } = options;
    const index = this.#dispatches.length;
    for (const binding of bindings) {
      const life = binding && this.#lifeOf(binding);
      if (life) {
        life.first = once ? -1 : Math.min(life.first, index); // before all that a run writes
        life.last = once ? Infinity : Math.max(life.last, index);
      }
    }
    (once ? this.#once : this.#dispatches).push({
      request: { name: kernel, parts: options.parts ?? [], constants: options.constants ?? {} },
      bindings,
      groups: [options.groups[0], options.groups[1] ?? 1, options.groups[2] ?? 1],
      flops: options.flops ?? 0,
    });
  }

  #lifeOf(binding: Binding): Life | undefined {
    if ("storage" in binding) return this.#scratch.get(binding.storage);
    return isSheet(binding) ? this.#scratch.get(binding) : undefined;
  }

  keep(name: string, tensor: Tensor): Tensor {
    if (this.#keep) this.#kept.set(name, tensor);
    return tensor;
  }

  /** Compiles, allocates and binds. `outputs` stay readable after each run, as kept tensors do. */
  async finish(outputs: readonly Tensor[] = []): Promise<Plan> {
    const recorded = [...this.#once, ...this.#dispatches];
    const compiling = recorded.map(({ request }) => kernelsOf(this.gpu).pipeline(request));
    const pipelines = await Promise.all(compiling);
    for (const { storage } of [...outputs, ...this.#kept.values()]) {
      const life = this.#scratch.get(storage);
      if (life) life.last = Infinity;
    }
    const scratch = allocateScratch(this.gpu, this.#scratch);
    const all = recorded.map((one, i): Step => ({
      pipeline: pipelines[i]!,
      bindGroup: this.#bind(one, pipelines[i]!),
      groups: one.groups,
      flops: one.flops,
      kernel: one.request.name,
      name: nameOf(one.request),
    }));
    const [once, steps] = [all.slice(0, this.#once.length), all.slice(this.#once.length)];
    const { gpu, capacity } = this;
    return new Plan({ gpu, capacity, once, steps, scratch, kept: this.#kept, crossings: this.#crossings() });
  }

  #crossings(): Crossings | undefined {
    if (this.#exchange) return new Sums(this.gpu, this.capacity, this.#exchange, this.#sums);
    return this.#relay && new Handovers(this.gpu, this.capacity, this.#relay, this.#handovers);
  }

  #bind({ request, bindings }: Recorded, pipeline: GPUComputePipeline): GPUBindGroup {
    const entries = bindings.flatMap((binding, i): GPUBindGroupEntry[] => {
      if (!binding) return [];
      if (isSheet(binding)) return [{ binding: i, resource: binding.texture!.createView() }];
      if (!("storage" in binding))
        return [{ binding: i, resource: isTexture(binding) ? binding.createView() : { buffer: binding } }];
      const { buffer, bytes, label } = binding.storage;
      if (!buffer) throw new Error(`${request.name}: binding ${i} (${label}) has no buffer`);
      return [{ binding: i, resource: { buffer, size: Math.ceil(bytes / 4) * 4 } }];
    });
    return this.gpu.device.createBindGroup({
      label: request.name,
      layout: pipeline.getBindGroupLayout(0),
      entries,
    });
  }
}

function nameOf({ name, constants }: KernelRequest): string {
  const { N, K } = constants;
  return N === undefined || K === undefined ? name : `${name} ${N}×${K}`;
}
