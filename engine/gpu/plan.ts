// A plan is a model's forward pass as a flat list of dispatches: pipelines, bind groups and buffers are made once, when the
// recording is finished (recording.ts), and every step only walks the list.
import type { Gpu } from "./adapter.ts";
import { Piece, type Step } from "./piece.ts";
import { placeBytes, type Place } from "./scratch.ts";
import type { Tensor } from "./tensor.ts";

/** Where a plan waits for other devices. */
export interface Crossings {
  /** Behind how many dispatches each is, in order. */
  readonly list: readonly { readonly after: number }[];
  /** Submits the work before one of them; resolves when what it brings is on its way to the device. */
  compute(index: number, tokens: number, submit: (last?: Last) => void): Promise<void>;
  destroy(): void;
}

export interface PlanParts {
  gpu: Gpu;
  capacity: number;
  once: readonly Step[];
  steps: readonly Step[];
  scratch: readonly Place[];
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
  /** Where the device notes when each begins and ends. */
  readonly stamps?: GPUComputePassTimestampWrites;
}

export class Plan {
  readonly capacity: number;
  /** Tensors named by `Pass.keep`. */
  readonly kept: ReadonlyMap<string, Tensor>;
  /** Bytes of scratch this plan holds. */
  readonly scratchBytes: number;
  readonly #gpu: Gpu;
  readonly #once: Piece;
  readonly #steps: readonly Step[];
  readonly #scratch: readonly Place[];
  readonly #crossings: Crossings | undefined;
  /** The steps, cut at the crossings. */
  readonly #pieces: readonly Piece[];

  constructor({ gpu, capacity, once, steps, scratch, kept, crossings }: PlanParts) {
    this.capacity = capacity;
    this.kept = kept;
    this.scratchBytes = scratch.reduce((sum, place) => sum + placeBytes(place), 0);
    this.#gpu = gpu;
    this.#once = new Piece(once);
    this.#steps = steps;
    this.#scratch = scratch;
    this.#crossings = crossings;
    const ends = [...(crossings?.list.map(({ after }) => after) ?? []), steps.length];
    this.#pieces = ends.map((end, i) => new Piece(steps.slice(ends[i - 1] ?? 0, end)));
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
    this.#submit(this.#pieces[0]!, tokens, flopsPerSubmit, last);
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
  async runApart({ over, step, stamps }: Apart, tokens = 1): Promise<void> {
    for (const one of this.#steps) {
      if (over()) return;
      const work = () => {
        this.#submit(new Piece([one]), tokens, Infinity, undefined, stamps);
        return this.#gpu.device.queue.onSubmittedWorkDone();
      };
      await step(work, one.name);
    }
  }

  destroy(): void {
    waiting.get(this.#gpu.device)?.delete(this);
    for (const place of this.#scratch) place.destroy();
    this.#crossings?.destroy();
  }

  #submit(
    piece: Piece,
    tokens: number,
    flopsPerSubmit: number,
    last?: Last,
    timestampWrites?: GPUComputePassTimestampWrites,
  ): void {
    if (tokens < 1 || tokens > this.capacity)
      throw new Error(`${tokens} tokens in a plan for ${this.capacity}`);
    if (piece.steps.length === 0 && !last) return;
    const { device } = this.#gpu;
    const submits = piece.submits(tokens, flopsPerSubmit);
    for (let i = 0; i < submits.length; i += 1) {
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass(timestampWrites && { timestampWrites });
      for (const { step, x, y, z } of submits[i]!) {
        pass.setPipeline(step.pipeline);
        pass.setBindGroup(0, step.bindGroup);
        pass.dispatchWorkgroups(x, y, z);
      }
      pass.end();
      if (i === submits.length - 1) last?.(encoder);
      device.queue.submit([encoder.finish()]);
    }
  }
}
