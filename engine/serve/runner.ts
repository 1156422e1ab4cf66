// One model on the device and several sequences in it, each in a slot of the model's memory. A turn is a decode run of
// one token of each of some sequences, and a piece of one prompt. Positions and lengths are written to small buffers
// ahead of each run; a plan itself never changes.
import { EngineError } from "../errors.ts";
import type { Gpu } from "../gpu/adapter.ts";
import type { Peers } from "../gpu/pass.ts";
import type { Apart, Plan } from "../gpu/plan.ts";
import { calmly, hurriedly } from "../gpu/polls.ts";
import { mostSequences } from "../gpu/step.ts";
import { free, permanent } from "../gpu/tensor.ts";
import type { ModelConfig } from "../models/config.ts";
import { clearState, copyPage, restoreState, saveState, writeTable } from "../models/copies.ts";
import { createMemory, freeMemory } from "../models/memory.ts";
import type { Network } from "../models/network.ts";
import { ropeTable } from "../models/rope.ts";
import type { KvFormat } from "../ops/kv-cache.ts";
import type { Draw, DrawStart } from "../ops/sample.ts";
import type { Drawing, Ran } from "./draw/drawing.ts";
import { createDraws, freeDraws, type Draws } from "./draw/draws.ts";
import { SharedDrawing } from "./draw/shared.ts";
import { WholeDrawing } from "./draw/whole.ts";
import {
  createFeed,
  forgetRun,
  noteRun,
  writeBatch,
  writeInputs,
  type BatchToken,
  type Feed,
} from "./entrance.ts";
import { isSoftware } from "../ops/variants.ts";
import { freePlans, plansOf, recordPlans, scratchBytesOf, tunePlans } from "./plans.ts";
import type { DecodePlan, PlanMemory, Plans, PrefillPlan, TuningHooks } from "./plans.ts";
import type { Copy, TableWrite } from "./schedulerTypes.ts";
import type { SumFigures } from "./types.ts";

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
  /** Turns that may begin before the results of those ahead of them are there; on several devices none. Default: none. */
  ahead?: number;
  /** What the device's tuning does not know is measured before; default: it is guessed. */
  tuning?: TuningHooks;
}

/** What a sequence wants of the token that follows: nothing yet, that it is drawn, or all logits. */
export type Want = "nothing" | "token" | "logits" | DrawWant;

/** That it is drawn, with more to hear of it or to say. */
export interface DrawWant {
  /** As its DrawStart says. */
  candidates?: number | undefined;
  /** The tokens that may be drawn (DrawStart.masked); called while the device computes the logits. */
  mask?: (() => Uint32Array | undefined) | undefined;
}

/** What it gets. */
export type Outcome = Draw | Float32Array | undefined;

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
  /** Turns that may begin before the results of those ahead of them are there. */
  readonly ahead: number;
  /** Where the model is spread over several devices; a copy. */
  readonly sums?: SumFigures | undefined;
  /** Says where the rows of a sequence lie; ordered with the runs. */
  tell(write: TableWrite): void;
  /** Ordered with the runs. */
  copy(copy: Copy): void;
  /** How the sequence that is now in a slot draws; ordered with the runs. Before the first, a slot takes the likeliest. */
  start(slot: number, start: DrawStart): void;
  /** Runs one token of each of some sequences, then a piece of a prompt; resolves when the device is done with both. */
  turn(tokens: readonly DecodeToken[], prefill?: PrefillRun): Promise<Outcomes>;
}

/** Of a turn's tokens, and of the end of its piece of a prompt. */
export interface Outcomes {
  decoded: Outcome[];
  prefilled: Outcome;
}

export class Runner implements TurnTaker {
  readonly contextLength: number;
  readonly slots: number;
  readonly pages: number;
  readonly snapshots: number;
  readonly ahead: number;
  readonly #gpu: Gpu;
  readonly #options: RunnerOptions;
  /** The model is on this device alone. */
  readonly #alone: boolean;
  readonly #shared: PlanMemory;
  readonly #draws: Draws;
  readonly #drawing: Drawing;
  readonly #plans: Plans;

  private constructor(gpu: Gpu, options: RunnerOptions, shared: PlanMemory, draws: Draws, plans: Plans) {
    const { memory } = shared;
    this.contextLength = options.contextLength;
    this.slots = options.slots;
    this.pages = memory.pages;
    this.snapshots = memory.snapshots;
    this.#alone = !options.exchange && !options.relay;
    this.ahead = this.#alone ? (options.ahead ?? 0) : 0;
    this.#gpu = gpu;
    this.#options = options;
    this.#shared = shared;
    this.#draws = draws;
    this.#drawing = drawingOf(gpu, draws, options);
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
    const draws = await createDraws(gpu, config, slots);
    const [shared, peers] = [
      { memory, draws: draws.memory, rope },
      { exchange, relay },
    ];
    if (tuning) await tunePlans(gpu, network, memory, rope, { chunk, ...peers }, tuning);
    const plans = await recordPlans(gpu, network, shared, { chunk, slots, pictureWidth, ...peers });
    return new Runner(gpu, options, shared, draws, plans);
  }

  /**
   * On software a kernel is compiled when it first runs, which takes up to a second: here one after another, alone.
   */
  async compile(apart: Apart): Promise<void> {
    if (!isSoftware(this.#gpu)) return;
    const { prefill, decode } = this.#plans; // tokens to read about: kernels loop over as many as there are
    const run = { from: 0, count: 1, past: 0, slot: 0 };
    for (const { entrance } of prefill) writeInputs(this.#gpu, entrance, createFeed([0], [], 0), run);
    for (const { entrance } of decode)
      writeBatch(this.#gpu, entrance, [{ id: 0, position: 0, row: 0, slot: 0 }]);
    const { merged } = this.#draws.shared ?? {};
    for (const plan of [...plansOf(this.#plans), ...(merged ? [merged.plan] : [])])
      await plan.runApart(apart);
  }

  /**
   * Some drivers compile a kernel when it first runs: that belongs to loading, not to somebody's first answer. Devices
   * that share the model do it together.
   */
  async warmUp(): Promise<void> {
    for (const [i] of this.#plans.prefill.entries()) {
      const shorter = this.#plans.prefill[i - 1]?.entrance.capacity ?? 1;
      const to = Math.min(shorter + 1, this.contextLength); // the fewest that this one is for
      const feed = createFeed(new Array<number>(to).fill(0), [], 0);
      await this.turn([], { slot: 0, feed, from: 0, to, want: "token" });
    }
    for (const { entrance } of this.#plans.decode) {
      const tokens = Array.from({ length: Math.min(entrance.capacity, this.slots) }, (_, slot) => ({
        ...{ id: 0, position: 0, row: 0, slot },
        want: "token" as const,
      }));
      await this.turn(tokens);
    }
    for (let slot = 0; slot < this.slots; slot += 1) this.copy({ kind: "clear", slot });
  }

  /** Each dispatch of a token, from its embedding to the draw, by itself and in order; what comes out is of no use. */
  async decodeApart(apart: Apart): Promise<void> {
    const { entrance, plan, outputs } = this.#plans.decode[0]!;
    writeBatch(this.#gpu, entrance, [{ id: 0, position: 0, row: 0, slot: 0 }]);
    for (const one of [plan, ...(outputs ? [outputs.draw] : [])]) await one.runApart(apart);
  }

  /** The same of a prompt of so many tokens, which one run takes. Errors: bad_request for more. */
  async promptApart(tokens: number, apart: Apart): Promise<void> {
    const { entrance, body, head } = this.#prefillFor(tokens);
    const feed = createFeed(new Array<number>(tokens).fill(0), [], 0);
    writeInputs(this.#gpu, entrance, feed, { from: 0, count: tokens, past: 0, slot: 0 });
    await body.runApart(apart, tokens);
    await head.runApart(apart);
  }

  /** Kernels of one decode step of one sequence, in order. */
  get decodeKernels(): readonly string[] {
    return kernelsOf(this.#plans.decode[0]!);
  }

  /** The same of as many sequences as a run may have. */
  get batchKernels(): readonly string[] {
    return kernelsOf(this.#plans.decode.at(-1)!);
  }

  get cacheBytes(): number {
    return this.#shared.memory.bytes;
  }

  get pageBytes(): number {
    return this.#shared.memory.pageBytes;
  }

  get stateBytes(): number {
    return this.#shared.memory.stateBytes;
  }

  get scratchBytes(): number {
    return scratchBytesOf(this.#plans);
  }

  tell({ slot, first, pages }: TableWrite): void {
    writeTable(this.#gpu, this.#shared.memory, slot, first, pages);
  }

  copy(copy: Copy): void {
    if (copy.kind === "page") copyPage(this.#gpu, this.#shared.memory, copy.from, copy.to);
    else if (copy.kind === "clear") clearState(this.#gpu, this.#shared.memory, copy.slot);
    else restoreState(this.#gpu, this.#shared.memory, copy.snapshot, copy.slot);
  }

  start(slot: number, start: DrawStart): void {
    this.#drawing.start(slot, start);
  }

  /** Where another device draws: what it drew in a slot, ahead of the next turn. */
  drew(slot: number, id: number): void {
    this.#drawing.drew(slot, id);
  }

  turn(tokens: readonly DecodeToken[], prefill?: PrefillRun): Promise<Outcomes> {
    const turn = this.#turn(tokens, prefill);
    return this.#alone ? calmly(turn) : hurriedly(turn);
  }

  async #turn(tokens: readonly DecodeToken[], prefill: PrefillRun | undefined): Promise<Outcomes> {
    const work = this.#runs(tokens, prefill);
    let next = work.next();
    for (; !next.done; next = work.next()) {
      const { plan, tokens: count } = next.value;
      // Alone all is submitted before this returns, so that turns may follow one another without waiting.
      if (this.#alone) plan.submit(count, this.#options.flopsPerSubmit);
      else await plan.run(count, this.#options.flopsPerSubmit);
    }
    const outcomes = await this.#drawing.outcomes(next.value);
    return { decoded: outcomes.slice(0, tokens.length), prefilled: outcomes[tokens.length] };
  }

  destroy(): void {
    freePlans(this.#plans);
    free(this.#shared.rope);
    freeDraws(this.#draws);
    freeMemory(this.#shared.memory);
  }

  /** The plans up to the logits, each of which is to be submitted before it goes on. */
  *#runs(tokens: readonly DecodeToken[], prefill: PrefillRun | undefined): Generator<Walk, Ran[]> {
    const runs: Ran[] = [];
    if (tokens.length > 0) runs.push(yield* this.#decode(tokens));
    if (prefill) runs.push(yield* this.#prefill(prefill));
    return runs;
  }

  *#decode(tokens: readonly DecodeToken[]): Generator<Walk, Ran> {
    for (const { row, slot } of tokens) this.#check(slot, row + 1);
    const chosen = this.#plans.decode.find(({ entrance }) => entrance.capacity >= tokens.length);
    if (!chosen) throw new Error(`${tokens.length} sequences in a decode run for ${this.slots}`);
    writeBatch(this.#gpu, chosen.entrance, tokens);
    yield { plan: chosen.plan, tokens: tokens.length };
    noteRun(chosen.entrance, tokens);
    return { outputs: chosen.outputs, rows: tokens };
  }

  *#prefill(run: PrefillRun): Generator<Walk, Ran> {
    const { slot, feed, from, to, past = 0, want, snapshot } = run;
    this.#check(slot, past + to);
    const { entrance, body, head, outputs } = this.#prefillFor(to - from);
    writeInputs(this.#gpu, entrance, feed, { from, count: to - from, past: past + from, slot });
    // A run that the device refused has moved nothing on; its sequences have failed, and others begin like this.
    for (const plan of this.#plans.decode) forgetRun(plan.entrance);
    yield { plan: body, tokens: to - from };
    if (snapshot !== undefined) saveState(this.#gpu, this.#shared.memory, slot, snapshot);
    if (want !== "nothing") yield { plan: head, tokens: 1 };
    return { outputs, rows: [{ slot, want }] };
  }

  #prefillFor(tokens: number): PrefillPlan {
    const { prefill } = this.#plans;
    const chosen = prefill.find(({ entrance }) => entrance.capacity >= tokens);
    if (chosen) return chosen;
    const most = prefill.at(-1)!.entrance.capacity;
    throw new EngineError("bad_request", `${tokens} tokens in one run; at most ${most} fit`);
  }

  #check(slot: number, tokens: number): void {
    if (slot < 0 || slot >= this.slots) throw new Error(`slot ${slot} of ${this.slots}`);
    if (tokens > this.contextLength)
      throw new Error(`${tokens} tokens in a context of ${this.contextLength}`);
  }
}

/** A plan to be walked. */
interface Walk {
  plan: Plan;
  tokens: number;
}

function drawingOf(gpu: Gpu, { memory, shared }: Draws, { exchange }: Peers): Drawing {
  if (!shared) return new WholeDrawing(gpu, memory);
  if (!exchange) throw new Error("a part of a head, and nobody who has the others");
  return new SharedDrawing({ gpu, memory, head: shared, exchange });
}

function kernelsOf({ plan, outputs }: DecodePlan): string[] {
  return [...plan.kernels, ...(outputs?.draw.kernels ?? [])];
}
