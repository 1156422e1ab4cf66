// The plans of a model that serves: prompts by runs of so many tokens, with the last row's head, and decoding for 1, 2, 4, …
// sequences.
import type { Gpu } from "../gpu/adapter.ts";
import type { Peers } from "../gpu/pass.ts";
import type { Plan } from "../gpu/plan.ts";
import { Recording } from "../gpu/recording.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { Memory, Network } from "../models/network.ts";
import * as op from "../ops/index.ts";
import { isSoftware } from "../ops/variants.ts";
import { createEntrance, freeEntrance, type Entrance } from "./entrance.ts";

/** What follows the last token of a sequence, for T of them; a device that has no head has none. */
export interface Outputs {
  /** [T, V], or this device's columns of them. */
  logits: Tensor;
  /** Draws from them; of columns, weighs them. */
  draw: Plan;
  /** Of what was drawn; or the columns' blocks (ops/sample.ts). */
  records: Tensor;
}

export interface PrefillPlan {
  entrance: Entrance;
  /** Up to the row of the run's last token. */
  body: Plan;
  /** What follows that row. */
  head: Plan;
  outputs: Outputs | undefined;
}

export interface DecodePlan {
  entrance: Entrance;
  /** Up to the logits. */
  plan: Plan;
  outputs: Outputs | undefined;
}

export interface Plans {
  /** By capacity. */
  prefill: readonly PrefillPlan[];
  /** By capacity, which doubles. */
  decode: readonly DecodePlan[];
}

export interface PlanOptions extends Peers {
  /** Most tokens of a prefill run. */
  chunk: number;
  /** Most sequences of a decode run. */
  slots: number;
  /** The residual stream's width, where prompts may have pictures in them. */
  pictureWidth: number | undefined;
}

/** What all plans of a model share. */
export interface PlanMemory {
  memory: Memory;
  draws: op.DrawMemory;
  /** As Inputs.ropeTable. */
  rope: Tensor;
}

/** Who is to know that measuring begins, which waits for it, and that it is over. */
export interface TuningHooks {
  begin(): Promise<void>;
  end(): void;
}

/**
 * Measures what recording a prompt's runs and a token asks of the device's tuning and is not known; nothing where all is.
 */
export async function tunePlans(
  gpu: Gpu,
  network: Network,
  memory: Memory,
  rope: Tensor,
  { chunk, ...peers }: Pick<PlanOptions, "chunk"> & Peers,
  hooks: TuningHooks,
): Promise<void> {
  if (!gpu.tuning.searching) return;
  for (const capacity of [1, ...runsFor(gpu, chunk)]) {
    const entrance = createEntrance(gpu, { capacity, rope });
    const asking = new Recording(gpu, { capacity, step: entrance.step, ...peers });
    const x = network.body(asking, entrance.inputs, memory);
    const tail = new Recording(gpu, { capacity: 1, step: entrance.step, ...peers });
    network.head(tail, op.lastRow(asking, x));
    freeEntrance(entrance);
  }
  if (gpu.tuning.open.length === 0) return;
  await hooks.begin();
  await op.tune(gpu);
  hooks.end();
}

/** Records and compiles them all. */
export async function recordPlans(
  gpu: Gpu,
  network: Network,
  { memory, draws, rope }: PlanMemory,
  { chunk, slots, pictureWidth, ...peers }: PlanOptions,
): Promise<Plans> {
  const prefill: PrefillPlan[] = [];
  for (const capacity of runsFor(gpu, chunk)) {
    const entrance = createEntrance(gpu, { capacity, rope, pictureWidth });
    prefill.push(await recordPrefill(gpu, network, memory, draws, entrance, peers));
  }
  const decode: DecodePlan[] = [];
  for (const capacity of bucketsFor(gpu, slots)) {
    const moving = network.embeds ? memory.capacity : undefined;
    const entrance = createEntrance(gpu, { capacity, rope, batch: capacity > 1, moving });
    decode.push(await recordDecode(gpu, network, memory, draws, entrance, peers));
  }
  return { prefill, decode };
}

/** What behind a cached prefix is to be read is seldom long. */
const shortRuns = [64, 256];

/**
 * Capacities of the runs of a prompt. What suits a card for a whole chunk leaves most of it idle for a few tokens. Software
 * has one kernel for both, and strict mode sums in one order however many there are.
 */
function runsFor(gpu: Gpu, chunk: number): number[] {
  const short = isSoftware(gpu) || gpu.tuning.strict ? [] : shortRuns;
  return [...short.filter((tokens) => tokens < chunk), chunk];
}

/**
 * 1, 2, 4, … up to the first that holds `slots`. Software takes seconds to compile each and gains little by those
 * between, so there only the ends.
 */
function bucketsFor(gpu: Gpu, slots: number): number[] {
  const buckets = [1];
  while (buckets.at(-1)! < slots) buckets.push(2 * buckets.at(-1)!);
  return isSoftware(gpu) ? [...new Set([1, buckets.at(-1)!])] : buckets;
}

export function freePlans(plans: Plans): void {
  for (const plan of plansOf(plans)) plan.destroy();
  for (const { entrance } of [...plans.prefill, ...plans.decode]) freeEntrance(entrance);
}

export function scratchBytesOf(plans: Plans): number {
  return plansOf(plans).reduce((sum, { scratchBytes }) => sum + scratchBytes, 0);
}

/** All that run. */
export function plansOf({ prefill, decode }: Plans): Plan[] {
  const draws = [...prefill, ...decode].flatMap(({ outputs }) => (outputs ? [outputs.draw] : []));
  const prompts = prefill.flatMap(({ body, head }) => [body, head]);
  return [...prompts, ...decode.map(({ plan }) => plan), ...draws];
}

async function recordPrefill(
  gpu: Gpu,
  network: Network,
  memory: Memory,
  draws: op.DrawMemory,
  entrance: Entrance,
  peers: Peers,
): Promise<PrefillPlan> {
  const { capacity, step, inputs } = entrance;
  const recording = new Recording(gpu, { capacity, step, ...peers });
  const x = network.body(recording, inputs, memory);
  const last = op.lastRow(recording, x);
  const body = await recording.finish([last]);
  const tail = new Recording(gpu, { capacity: 1, step, ...peers });
  const logits = network.head(tail, last);
  const head = await tail.finish(logits ? [logits] : []);
  const outputs = logits && (await recordDraw(new Recording(gpu, { capacity: 1, step }), logits, draws));
  return { entrance, body, head, outputs };
}

async function recordDecode(
  gpu: Gpu,
  network: Network,
  memory: Memory,
  draws: op.DrawMemory,
  entrance: Entrance,
  peers: Peers,
): Promise<DecodePlan> {
  const { capacity, batch, step, inputs } = entrance;
  const recording = new Recording(gpu, { capacity, batch, step, ...peers });
  const logits = network.head(recording, network.body(recording, { ...inputs, drawn: draws.counts }, memory));
  const plan = await recording.finish(logits ? [logits] : []);
  const outputs = logits && (await recordDraw(new Recording(gpu, { capacity, batch, step }), logits, draws));
  return { entrance, plan, outputs };
}

/** A plan of its own: masks come between it and the logits. */
async function recordDraw(recording: Recording, logits: Tensor, draws: op.DrawMemory): Promise<Outputs> {
  const { part } = draws;
  const records = part
    ? op.weighBlocks(recording, logits, draws, part.block)
    : op.sample(recording, logits, draws);
  return { logits, records, draw: await recording.finish([records]) };
}
