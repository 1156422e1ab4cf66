// A plan is a model's forward pass as a flat list of dispatches: pipelines, bind groups and buffers are made once,
// when the plan is finished, and every step only walks the list. Recording is what a model file does when it is
// "called": each op notes its dispatches on the pass. How many tokens a run carries may vary up to the pass's
// capacity; kernels read it, and the position, from a small buffer, and grids are functions of it.
import { EngineError } from "../errors.ts";
import type { Gpu } from "./adapter.ts";
import { Handovers, type Handover, type Relay } from "./handovers.ts";
import { kernelsOf, type KernelRequest } from "./kernel.ts";
import { Sums, type Sum } from "./sums.ts";
import { createBuffer, elements, isTexture, type Format, type Storage, type Tensor } from "./tensor.ts";

/** A number that may depend on how many tokens the run carries. */
export type Extent = number | ((tokens: number) => number);

export interface DispatchOptions {
  parts?: readonly string[];
  constants?: Readonly<Record<string, number>>;
  /** Workgroups in x, y, z; each ≤ 65,535. */
  groups: readonly [Extent, Extent?, Extent?];
  /** Arithmetic of the dispatch, for cutting long prefills into submits that no driver's watchdog minds. */
  flops?: Extent;
  /** What it gives depends on weights alone: it is not part of runs, but done whenever weights have been written. */
  once?: true;
}

export type Binding = Tensor | GPUBuffer | GPUTexture;

/** What ops write on. */
export interface Pass {
  readonly gpu: Gpu;
  /** The most tokens a run may carry. */
  readonly capacity: number;
  /** Whether a run's tokens are of as many sequences (gpu/step.ts), or of one, one behind another. */
  readonly batch: boolean;
  /** How many tokens this run has, whose, and behind how many (gpu/step.ts). */
  readonly step: Tensor;
  /** A tensor that lives from its first to its last use in the plan. */
  scratch(shape: readonly number[], label?: string, format?: Format): Tensor;
  /** Notes one dispatch; binding i is bindings[i], holes are left out. */
  dispatch(kernel: string, bindings: readonly (Binding | undefined)[], options: DispatchOptions): void;
  /** This device's number among those that share the model; 0 where it is alone. */
  readonly rank: number;
  /** A device's part of a sum → the sum over the devices that share the model, in place; alone, the part is all. */
  sum(part: Tensor): Tensor;
  /** x, as computed here → device `to`, which has the layers that follow. */
  send(x: Tensor, to: number): void;
  /** x ← as device `from` has sent it, in place. */
  receive(x: Tensor, from: number): Tensor;
  /** Names a tensor so that its value outlives the run (verification); nothing unless the pass keeps. */
  keep(name: string, tensor: Tensor): Tensor;
}

/** The devices that share a model, as one of them meets the others (parallel/allReduce.ts), slice by slice. */
export interface Exchange {
  readonly rank: number;
  /** Most values of a slice. */
  readonly slice: number;
  readonly times: SumTimes;
  /** This device's part of a slice, at most one ahead of what was taken; the values are read before it returns. */
  give(values: Float32Array): void;
  /** out ← the parts of the next slice that was given, added up over the devices. */
  take(out: Float32Array): Promise<void>;
  /** What each device gives, by rank, bit for bit. `lengths`: of each one's, which all know. Nothing else is under way. */
  gather(own: Uint32Array, lengths: readonly number[]): Promise<Uint32Array<ArrayBuffer>[]>;
}

/** Sums over devices so far, and where their time went, ms. */
export interface SumTimes {
  sums: number;
  /** From handing the work before a sum to the device until its first slice is on the host. */
  computingMs: number;
  /** Reading it there, and waiting for the device's further slices. */
  readbackMs: number;
  /** For other devices. */
  waitingMs: number;
  /** Adding up, and handing the sum to the device. */
  reducingMs: number;
}

interface Recorded {
  readonly request: KernelRequest;
  readonly bindings: readonly (Binding | undefined)[];
  readonly groups: readonly [Extent, Extent, Extent];
  readonly flops: Extent;
}

interface Step {
  readonly pipeline: GPUComputePipeline;
  readonly bindGroup: GPUBindGroup;
  readonly groups: readonly [Extent, Extent, Extent];
  readonly flops: Extent;
  readonly kernel: string;
  /** Of the kernel and its weight's size, for who measures. */
  readonly name: string;
}

/** The other devices of a model, as one of them meets them: one or the other, or none. */
export interface Peers {
  /** Where every layer is spread over several devices. */
  exchange?: Exchange | undefined;
  /** Where other devices have other layers. */
  relay?: Relay | undefined;
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
  readonly #scratch = new Map<Storage, { first: number; last: number }>();
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

  dispatch(kernel: string, bindings: readonly (Binding | undefined)[], options: DispatchOptions): void {
    const { once } = options;
    const index = this.#dispatches.length;
    for (const binding of bindings) {
      const life = binding && "storage" in binding ? this.#scratch.get(binding.storage) : undefined;
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

  keep(name: string, tensor: Tensor): Tensor {
    if (this.#keep) this.#kept.set(name, tensor);
    return tensor;
  }

  /** Compiles, allocates and binds. `outputs` stay readable after each run, as kept tensors do. */
  async finish(outputs: readonly Tensor[] = []): Promise<Plan> {
    const recorded = [...this.#once, ...this.#dispatches];
    const compiling = recorded.map(({ request }) => kernelsOf(this.gpu).pipeline(request));
    const pipelines = await Promise.all(compiling);
    const buffers = this.#allocate([...outputs, ...this.#kept.values()]);
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
    return new Plan({ gpu, capacity, once, steps, buffers, kept: this.#kept, crossings: this.#crossings() });
  }

  #crossings(): Crossings | undefined {
    if (this.#exchange) return new Sums(this.gpu, this.capacity, this.#exchange, this.#sums);
    return this.#relay && new Handovers(this.gpu, this.capacity, this.#relay, this.#handovers);
  }

  /** One buffer serves several scratch tensors whose lives do not overlap; kept ones live to the end. */
  #allocate(pinned: readonly Tensor[]): GPUBuffer[] {
    for (const { storage } of pinned) {
      const life = this.#scratch.get(storage);
      if (life) life.last = Infinity;
    }
    const made: { buffer: GPUBuffer; until: number }[] = [];
    const byFirst = [...this.#scratch].sort(([, a], [, b]) => a.first - b.first);
    for (const [storage, life] of byFirst) {
      if (life.last < 0) continue;
      const first = Math.min(life.first, life.last);
      const fits = made.filter(({ buffer, until }) => until < first && buffer.size >= storage.bytes);
      fits.sort((a, b) => a.buffer.size - b.buffer.size);
      let slot = fits[0];
      // A buffer more than twice too large is better kept for the tensor that needs it.
      if (!slot || slot.buffer.size > 2 * storage.bytes + 4096) {
        slot = { buffer: createBuffer(this.gpu, storage.label, storage.bytes), until: -1 };
        made.push(slot);
      }
      slot.until = life.last;
      storage.buffer = slot.buffer;
    }
    return made.map(({ buffer }) => buffer);
  }

  #bind({ request, bindings }: Recorded, pipeline: GPUComputePipeline): GPUBindGroup {
    const entries = bindings.flatMap((binding, i): GPUBindGroupEntry[] => {
      if (!binding) return [];
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

/** Where a plan waits for other devices. */
export interface Crossings {
  /** Behind how many dispatches each is, in order. */
  readonly list: readonly { readonly after: number }[];
  /** Submits the work before one of them; resolves when what it brings is on its way to the device. */
  compute(index: number, tokens: number, submit: (last?: Last) => void): Promise<void>;
  destroy(): void;
}

interface PlanParts {
  gpu: Gpu;
  capacity: number;
  once: readonly Step[];
  steps: readonly Step[];
  buffers: readonly GPUBuffer[];
  kept: ReadonlyMap<string, Tensor>;
  crossings: Crossings | undefined;
}

/** Plans with something to do when weights have been written. */
const waiting = new WeakMap<GPUDevice, Set<Plan>>();

/** Says that weights of a device are there which plans were made for before. */
export function weightsWritten({ device }: Gpu): void {
  for (const plan of waiting.get(device) ?? []) plan.prepare();
}

/** Commands at the end of a piece of work. */
type Last = (encoder: GPUCommandEncoder) => void;

/** Who runs steps by themselves. */
export interface Apart {
  /** Whether they are of no use any more. */
  over(): boolean;
  /** Hears of each, with its kernel and the size of its weight. */
  step(work: () => Promise<unknown>, name: string): Promise<unknown>;
}

export class Plan {
  readonly capacity: number;
  /** Tensors named by `Pass.keep`. */
  readonly kept: ReadonlyMap<string, Tensor>;
  /** Bytes of scratch this plan holds. */
  readonly scratchBytes: number;
  readonly #gpu: Gpu;
  readonly #once: readonly Step[];
  readonly #steps: readonly Step[];
  readonly #buffers: readonly GPUBuffer[];
  readonly #crossings: Crossings | undefined;
  /** The steps, cut at the crossings. */
  readonly #pieces: readonly (readonly Step[])[];

  constructor({ gpu, capacity, once, steps, buffers, kept, crossings }: PlanParts) {
    this.capacity = capacity;
    this.kept = kept;
    this.scratchBytes = buffers.reduce((sum, buffer) => sum + buffer.size, 0);
    this.#gpu = gpu;
    this.#once = once;
    this.#steps = steps;
    this.#buffers = buffers;
    this.#crossings = crossings;
    const ends = [...(crossings?.list.map(({ after }) => after) ?? []), steps.length];
    this.#pieces = ends.map((end, i) => steps.slice(ends[i - 1] ?? 0, end));
    if (once.length === 0) return;
    const plans = waiting.get(gpu.device) ?? new Set();
    waiting.set(gpu.device, plans.add(this));
    this.prepare();
  }

  /** Does what depends on weights alone, with those that are there now. */
  prepare(): void {
    this.#submit(this.#once, 1, Infinity);
  }

  /** The kernels in order of dispatch; what budgets count. */
  get kernels(): readonly string[] {
    return this.#steps.map((step) => step.kernel);
  }

  /**
   * Walks the plan for `tokens` tokens and submits it, in pieces of at most `flopsPerSubmit` (estimated), since
   * drivers kill a submit that computes for seconds. `last` adds commands to the final piece (copies for readback).
   * For plans of a model that is on one device.
   */
  submit(tokens: number, flopsPerSubmit = Infinity, last?: Last): void {
    if (this.#crossings) throw new Error("a plan of several devices waits for the others: run it");
    this.#submit(this.#steps, tokens, flopsPerSubmit, last);
  }

  /**
   * The same for any plan; resolves when everything is submitted, which on several devices is when the last of what
   * they wait for is there. Errors: of the exchange, or relay.
   */
  async run(tokens: number, flopsPerSubmit = Infinity): Promise<void> {
    const last = this.#pieces.length - 1;
    for (const [i, piece] of this.#pieces.entries()) {
      if (i === last) this.#submit(piece, tokens, flopsPerSubmit);
      else
        await this.#crossings!.compute(i, tokens, (copy) =>
          this.#submit(piece, tokens, flopsPerSubmit, copy),
        );
    }
  }

  /**
   * Each step by itself, without other devices: what a driver compiles only when it is to run, it compiles now, and whoever
   * has to leave waits for one kernel at most. What comes out is of no use.
   */
  async runApart({ over, step }: Apart, tokens = 1): Promise<void> {
    for (const one of this.#steps) {
      if (over()) return;
      const work = () => {
        this.#submit([one], tokens, Infinity);
        return this.#gpu.device.queue.onSubmittedWorkDone();
      };
      await step(work, one.name);
    }
  }

  destroy(): void {
    waiting.get(this.#gpu.device)?.delete(this);
    for (const buffer of this.#buffers) buffer.destroy();
    this.#crossings?.destroy();
  }

  #submit(steps: readonly Step[], tokens: number, flopsPerSubmit: number, last?: Last): void {
    if (tokens < 1 || tokens > this.capacity)
      throw new Error(`${tokens} tokens in a plan for ${this.capacity}`);
    if (steps.length === 0 && !last) return;
    let encoder = this.#gpu.device.createCommandEncoder();
    let pass = encoder.beginComputePass();
    let flops = 0;
    for (const step of steps) {
      const cost = extent(step.flops, tokens);
      if (flops > 0 && flops + cost > flopsPerSubmit) {
        pass.end();
        this.#gpu.device.queue.submit([encoder.finish()]);
        encoder = this.#gpu.device.createCommandEncoder();
        pass = encoder.beginComputePass();
        flops = 0;
      }
      flops += cost;
      pass.setPipeline(step.pipeline);
      pass.setBindGroup(0, step.bindGroup);
      const [x, y, z] = step.groups;
      pass.dispatchWorkgroups(extent(x, tokens), extent(y, tokens), extent(z, tokens));
    }
    pass.end();
    last?.(encoder);
    this.#gpu.device.queue.submit([encoder.finish()]);
  }
}

function nameOf({ name, constants }: KernelRequest): string {
  const { N, K } = constants;
  return N === undefined || K === undefined ? name : `${name} ${N}×${K}`;
}

function extent(value: Extent, tokens: number): number {
  return typeof value === "number" ? value : value(tokens);
}
