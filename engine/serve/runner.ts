// One model on the device and one sequence in it: plans for prefill and decode, the sequence's memory, and the feeding
// of tokens. Positions and lengths are written to small buffers ahead of each run; a plan itself never changes.
import type { Gpu } from "../gpu/adapter.ts";
import { Recording, type Plan } from "../gpu/plan.ts";
import { readF32, readU32 } from "../gpu/readback.ts";
import { free, permanent, type Tensor } from "../gpu/tensor.ts";
import type { ModelConfig } from "../models/config.ts";
import { createMemory, freeMemory, resetMemory } from "../models/memory.ts";
import type { Memory, Network } from "../models/network.ts";
import { ropeTable } from "../models/rope.ts";
import * as op from "../ops/index.ts";
import { createEntrance, createFeed, freeEntrance, writeInputs } from "./entrance.ts";
import type { Entrance, Feed, FedPicture } from "./entrance.ts";

export interface RunnerOptions {
  /** Tokens that the sequence may hold, prompt and answer together. */
  contextLength: number;
  /** Most tokens of one prefill run. */
  chunk: number;
  /** Estimated arithmetic of one submit, FLOP. */
  flopsPerSubmit: number;
  /** Prompts may have pictures in them. */
  pictures?: boolean;
}

/** Raised by the caller to stop between two runs of a long prompt; the pictures among its tokens, in order. */
export interface FeedOptions {
  signal?: AbortSignal;
  pictures?: readonly FedPicture[];
}

interface Outputs {
  /** [1, V] */
  logits: Tensor;
  /** u32 [1] */
  next: Tensor;
}

export class Runner {
  readonly contextLength: number;
  readonly #gpu: Gpu;
  readonly #options: RunnerOptions;
  readonly #memory: Memory;
  readonly #rope: Tensor;
  readonly #prefill: { entrance: Entrance; body: Plan; head: Plan; outputs: Outputs };
  readonly #decode: { entrance: Entrance; plan: Plan; outputs: Outputs };
  #last: Outputs | undefined;
  #length = 0;
  /** By how much the next token's position differs from #length, on account of pictures before it. */
  #delta = 0;

  private constructor(
    gpu: Gpu,
    options: RunnerOptions,
    memory: Memory,
    rope: Tensor,
    prefill: { entrance: Entrance; body: Plan; head: Plan; outputs: Outputs },
    decode: { entrance: Entrance; plan: Plan; outputs: Outputs },
  ) {
    this.contextLength = options.contextLength;
    this.#gpu = gpu;
    this.#options = options;
    this.#memory = memory;
    this.#rope = rope;
    this.#prefill = prefill;
    this.#decode = decode;
  }

  /** Records and compiles the plans and allocates memory, caches and scratch: nothing is allocated afterwards. */
  static async create(
    gpu: Gpu,
    network: Network,
    config: ModelConfig,
    options: RunnerOptions,
  ): Promise<Runner> {
    const memory = createMemory(gpu, config, options.contextLength);
    const table = ropeTable(config, options.contextLength);
    const rope = permanent(gpu, "rope", [options.contextLength, config.rope.dims / 2, 2], table);
    const width = options.pictures ? config.hidden : undefined;
    const entrance = createEntrance(gpu, options.chunk, rope, width);
    const prefill = await recordPrefill(gpu, network, memory, entrance);
    const decode = await recordDecode(gpu, network, memory, createEntrance(gpu, 1, rope));
    const runner = new Runner(gpu, options, memory, rope, prefill, decode);
    await runner.#warmUp();
    return runner;
  }

  /** Some drivers compile a kernel when it first runs: that belongs to loading, not to somebody's first answer. */
  async #warmUp(): Promise<void> {
    await this.feed([0, 0]);
    await this.feed([0]);
    await this.argmax();
    this.reset();
  }

  /** Tokens fed so far. */
  get length(): number {
    return this.#length;
  }

  /** Kernels of one decode step, in order. */
  get decodeKernels(): readonly string[] {
    return this.#decode.plan.kernels;
  }

  get cacheBytes(): number {
    return this.#memory.bytes;
  }

  get scratchBytes(): number {
    return this.#prefill.body.scratchBytes + this.#prefill.head.scratchBytes + this.#decode.plan.scratchBytes;
  }

  /** Forgets the sequence. */
  reset(): void {
    resetMemory(this.#gpu, this.#memory);
    this.#length = 0;
    this.#delta = 0;
    this.#last = undefined;
  }

  /** Appends tokens to the sequence; afterwards the logits that follow the last one are on the device. */
  async feed(ids: readonly number[], { signal, pictures = [] }: FeedOptions = {}): Promise<void> {
    if (ids.length === 0) throw new Error("no tokens to feed");
    if (this.#length + ids.length > this.contextLength) {
      throw new Error(`${this.#length} + ${ids.length} tokens in a context of ${this.contextLength}`);
    }
    const feed = createFeed(ids, pictures, this.#length + this.#delta);
    if (ids.length === 1 && pictures.length === 0) this.#step(feed);
    else await this.#prompt(feed, signal);
    this.#delta += feed.delta;
  }

  /** The likeliest next token. */
  async argmax(): Promise<number> {
    return (await readU32(this.#gpu, this.#outputs().next))[0]!;
  }

  /** The logits of the next token, [V]. */
  async logits(): Promise<Float32Array> {
    return readF32(this.#gpu, this.#outputs().logits);
  }

  destroy(): void {
    for (const plan of [this.#prefill.body, this.#prefill.head, this.#decode.plan]) plan.destroy();
    for (const { entrance } of [this.#prefill, this.#decode]) freeEntrance(entrance);
    free(this.#rope);
    freeMemory(this.#memory);
  }

  #step(feed: Feed): void {
    const { entrance, plan, outputs } = this.#decode;
    writeInputs(this.#gpu, entrance, feed, { from: 0, count: 1, past: this.#length });
    plan.submit(1);
    this.#length += 1;
    this.#last = outputs;
  }

  async #prompt(feed: Feed, signal: AbortSignal | undefined): Promise<void> {
    const { entrance, body, head, outputs } = this.#prefill;
    for (let from = 0; from < feed.ids.length; from += entrance.capacity) {
      signal?.throwIfAborted();
      const count = Math.min(entrance.capacity, feed.ids.length - from);
      writeInputs(this.#gpu, entrance, feed, { from, count, past: this.#length });
      body.submit(count, this.#options.flopsPerSubmit);
      this.#length += count;
      if (from + count < feed.ids.length) await this.#gpu.device.queue.onSubmittedWorkDone();
    }
    head.submit(1);
    this.#last = outputs;
  }

  #outputs(): Outputs {
    if (!this.#last) throw new Error("nothing was fed");
    return this.#last;
  }
}

async function recordPrefill(gpu: Gpu, network: Network, memory: Memory, entrance: Entrance) {
  const { capacity, step, inputs } = entrance;
  const recording = new Recording(gpu, { capacity, step });
  const x = network.body(recording, inputs, memory);
  const last = op.lastRow(recording, x);
  const body = await recording.finish([last]);
  const tail = new Recording(gpu, { capacity: 1, step });
  const outputs = recordHead(tail, network, last);
  return { entrance, body, head: await tail.finish([outputs.logits, outputs.next]), outputs };
}

async function recordDecode(gpu: Gpu, network: Network, memory: Memory, entrance: Entrance) {
  const recording = new Recording(gpu, { capacity: 1, step: entrance.step });
  const outputs = recordHead(recording, network, network.body(recording, entrance.inputs, memory));
  return { entrance, plan: await recording.finish([outputs.logits, outputs.next]), outputs };
}

function recordHead(recording: Recording, network: Network, x: Tensor): Outputs {
  const logits = network.head(recording, x);
  return { logits, next: op.argmax(recording, logits) };
}
