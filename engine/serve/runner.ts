// One model on the device and several sequences in it, each in a slot of the model's memory. A turn is a decode run of
// one token of each of some sequences, and a piece of one prompt. Positions and lengths are written to small buffers
// ahead of each run; a plan itself never changes.
import { EngineError } from "../errors.ts";
import type { Gpu } from "../gpu/adapter.ts";
import type { Peers } from "../gpu/plan.ts";
import { bufferOf, readRanges, type Range } from "../gpu/readback.ts";
import { mostSequences } from "../gpu/step.ts";
import { free, permanent, type Tensor } from "../gpu/tensor.ts";
import type { ModelConfig } from "../models/config.ts";
import { clearState, copyPage, restoreState, saveState, writeTable } from "../models/copies.ts";
import { createMemory, freeMemory } from "../models/memory.ts";
import type { Memory, Network } from "../models/network.ts";
import { ropeTable } from "../models/rope.ts";
import type { KvFormat } from "../ops/kv-cache.ts";
import { createFeed, writeBatch, writeInputs, type BatchToken, type Feed } from "./entrance.ts";
import { freePlans, recordPlans, scratchBytesOf, tunePlans } from "./plans.ts";
import type { Outputs, Plans, TuningHooks } from "./plans.ts";
import type { Copy, TableWrite } from "./schedulerTypes.ts";

/** Where the model is spread over several devices, they take the same turns. */
export interface RunnerOptions extends Peers {
  /** Tokens that each sequence may hold, prompt and answer together. */
  contextLength: number;
  /** Sequences that may be in memory at once. */
  slots: number;
  /** Of the KV cache, for all of them; default: a whole context for each. */
  pages?: number;
  /** How keys and values are kept; default: f32. */
  kvFormat?: KvFormat;
  /** Slots for saved states of delta-net layers; default: none. */
  snapshots?: number;
  /** Most tokens of one prefill run. */
  chunk: number;
  /** Estimated arithmetic of one submit, FLOP. */
  flopsPerSubmit: number;
  /** Prompts may have pictures in them. */
  pictures?: boolean;
  /** What the device's tuning does not know is measured before; default: it is guessed. */
  tuning?: TuningHooks;
}

/** What a sequence wants of the token that follows: nothing yet, the likeliest one, or all logits. */
export type Want = "nothing" | "token" | "logits";

/** What it gets. */
export type Outcome = number | Float32Array | undefined;

export interface DecodeToken extends BatchToken {
  want: Want;
}

/** Tokens from … to − 1 of a sequence, whose tokens before are in its slot already. */
export interface PrefillRun {
  slot: number;
  /** The sequence from its start. */
  feed: Feed;
  from: number;
  to: number;
  /** Tokens of the sequence ahead of the feed; default: none. */
  past?: number;
  want: Want;
  /** Where to save the state behind it. */
  snapshot?: number | undefined;
}

/** What a model's sequences are computed by: a runner, or one that others on other devices follow. */
export interface TurnTaker {
  readonly contextLength: number;
  readonly slots: number;
  readonly pages: number;
  readonly snapshots: number;
  /** Of a page, and of a state, in all layers. */
  readonly pageBytes: number;
  readonly stateBytes: number;
  /** Says where the rows of a sequence lie; ordered with the runs. */
  tell(write: TableWrite): void;
  /** Ordered with the runs. */
  copy(copy: Copy): void;
  /** Runs one token of each of some sequences, then a piece of a prompt; resolves when the device is done with both. */
  turn(
    tokens: readonly DecodeToken[],
    prefill?: PrefillRun,
  ): Promise<{ decoded: Outcome[]; prefilled: Outcome }>;
}

export class Runner implements TurnTaker {
  readonly contextLength: number;
  readonly slots: number;
  readonly pages: number;
  readonly snapshots: number;
  readonly #gpu: Gpu;
  readonly #options: RunnerOptions;
  readonly #memory: Memory;
  readonly #rope: Tensor;
  readonly #plans: Plans;

  private constructor(gpu: Gpu, options: RunnerOptions, memory: Memory, rope: Tensor, plans: Plans) {
    this.contextLength = options.contextLength;
    this.slots = options.slots;
    this.pages = memory.pages;
    this.snapshots = memory.snapshots;
    this.#gpu = gpu;
    this.#options = options;
    this.#memory = memory;
    this.#rope = rope;
    this.#plans = plans;
  }

  /**
   * Records and compiles the plans and allocates memory, caches and scratch: nothing is allocated afterwards. To be
   * warmed up before it serves.
   * Errors: bad_request for too many slots, out_of_memory.
   */
  static async create(
    gpu: Gpu,
    network: Network,
    config: ModelConfig,
    options: RunnerOptions,
  ): Promise<Runner> {
    const {
      contextLength,
      slots,
      pages,
      snapshots,
      kvFormat: format,
      chunk,
      pictures,
      exchange,
      relay,
      tuning,
    } = options;
    if (!Number.isInteger(slots) || slots < 1 || slots > mostSequences) {
      const text = `${slots} sequences at once; 1 to ${mostSequences} can be run`;
      throw new EngineError("bad_request", text);
    }
    const memory = createMemory(gpu, config, { capacity: contextLength, slots, pages, snapshots, format });
    const table = ropeTable(config, contextLength);
    const rope = permanent(gpu, "rope", [contextLength, config.rope.dims / 2, 2], table);
    const pictureWidth = pictures ? config.hidden : undefined;
    const peers = { exchange, relay };
    if (tuning) await tunePlans(gpu, network, memory, rope, { chunk, ...peers }, tuning);
    const plans = await recordPlans(gpu, network, memory, rope, { chunk, slots, pictureWidth, ...peers });
    return new Runner(gpu, options, memory, rope, plans);
  }

  /**
   * Some drivers compile a kernel when it first runs: that belongs to loading, not to somebody's first answer. Devices
   * that share the model do it together.
   */
  async warmUp(): Promise<void> {
    const feed = createFeed([0, 0], [], 0);
    await this.turn([], { slot: 0, feed, from: 0, to: Math.min(2, this.contextLength), want: "token" });
    for (const { entrance } of this.#plans.decode) {
      const tokens = Array.from({ length: Math.min(entrance.capacity, this.slots) }, (_, slot) => ({
        ...{ id: 0, position: 0, row: 0, slot },
        want: "token" as const,
      }));
      await this.turn(tokens);
    }
    for (let slot = 0; slot < this.slots; slot += 1) this.copy({ kind: "clear", slot });
  }

  /** Kernels of one decode step of one sequence, in order. */
  get decodeKernels(): readonly string[] {
    return this.#plans.decode[0]!.plan.kernels;
  }

  /** The same of as many sequences as a run may have. */
  get batchKernels(): readonly string[] {
    return this.#plans.decode.at(-1)!.plan.kernels;
  }

  get cacheBytes(): number {
    return this.#memory.bytes;
  }

  get pageBytes(): number {
    return this.#memory.pageBytes;
  }

  get stateBytes(): number {
    return this.#memory.stateBytes;
  }

  get scratchBytes(): number {
    return scratchBytesOf(this.#plans);
  }

  tell({ slot, first, pages }: TableWrite): void {
    writeTable(this.#gpu, this.#memory, slot, first, pages);
  }

  copy(copy: Copy): void {
    if (copy.kind === "page") copyPage(this.#gpu, this.#memory, copy.from, copy.to);
    else if (copy.kind === "clear") clearState(this.#gpu, this.#memory, copy.slot);
    else restoreState(this.#gpu, this.#memory, copy.snapshot, copy.slot);
  }

  async turn(
    tokens: readonly DecodeToken[],
    prefill?: PrefillRun,
  ): Promise<{ decoded: Outcome[]; prefilled: Outcome }> {
    const ranges: Range[] = [];
    const wants: Want[] = tokens.map(({ want }) => want);
    if (tokens.length > 0) {
      const outputs = await this.#decode(tokens);
      for (const [row, want] of wants.entries()) ranges.push(...rangeOf(outputs, row, want));
    }
    if (prefill) {
      const outputs = await this.#prefill(prefill);
      wants.push(prefill.want);
      ranges.push(...rangeOf(outputs, 0, prefill.want));
    }
    const read = await readRanges(this.#gpu, ranges);
    const outcomes = wants.map((want): Outcome => {
      const bytes = want === "nothing" ? undefined : read.shift();
      if (!bytes) return undefined;
      return want === "token" ? new Uint32Array(bytes)[0]! : new Float32Array(bytes);
    });
    return { decoded: outcomes.slice(0, tokens.length), prefilled: outcomes[tokens.length] };
  }

  destroy(): void {
    freePlans(this.#plans);
    free(this.#rope);
    freeMemory(this.#memory);
  }

  async #decode(tokens: readonly DecodeToken[]): Promise<Outputs | undefined> {
    for (const { row, slot } of tokens) this.#check(slot, row + 1);
    const chosen = this.#plans.decode.find(({ entrance }) => entrance.capacity >= tokens.length);
    if (!chosen) throw new Error(`${tokens.length} sequences in a decode run for ${this.slots}`);
    writeBatch(this.#gpu, chosen.entrance, tokens);
    await chosen.plan.run(tokens.length, this.#options.flopsPerSubmit);
    return chosen.outputs;
  }

  async #prefill({
    slot,
    feed,
    from,
    to,
    past = 0,
    want,
    snapshot,
  }: PrefillRun): Promise<Outputs | undefined> {
    this.#check(slot, past + to);
    const { entrance, body, head, outputs } = this.#plans.prefill;
    writeInputs(this.#gpu, entrance, feed, { from, count: to - from, past: past + from, slot });
    await body.run(to - from, this.#options.flopsPerSubmit);
    if (snapshot !== undefined) saveState(this.#gpu, this.#memory, slot, snapshot);
    if (want !== "nothing") await head.run(1, this.#options.flopsPerSubmit);
    return outputs;
  }

  #check(slot: number, tokens: number): void {
    if (slot < 0 || slot >= this.slots) throw new Error(`slot ${slot} of ${this.slots}`);
    if (tokens > this.contextLength)
      throw new Error(`${tokens} tokens in a context of ${this.contextLength}`);
  }
}

function rangeOf(outputs: Outputs | undefined, row: number, want: Want): Range[] {
  if (want === "nothing" || !outputs) return [];
  const { logits, next } = outputs;
  if (want === "token") return [{ source: bufferOf(next), offset: 4 * row, bytes: 4 }];
  const bytes = 4 * logits.shape[1]!;
  return [{ source: bufferOf(logits), offset: bytes * row, bytes }];
}
