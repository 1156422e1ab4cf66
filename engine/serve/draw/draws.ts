// What drawing takes of a device's memory: how each slot draws, of the vocabulary or of this device's part of it; and on
// the device that leads others, each with a part, one row of the whole for every sequence, where what they send is put
// together.
import type { Gpu } from "../../gpu/adapter.ts";
import type { Plan } from "../../gpu/plan.ts";
import { Recording } from "../../gpu/recording.ts";
import { createStep } from "../../gpu/step.ts";
import { free, permanent, type Tensor } from "../../gpu/tensor.ts";
import { headWidth, type HeadShare, type ModelConfig } from "../../models/config.ts";
import {
  blockWords,
  createDrawMemory,
  freeDrawMemory,
  pick,
  usualBlock,
  type DrawMemory,
  type PickMemory,
} from "../../ops/sample.ts";

export interface Draws {
  readonly memory: DrawMemory;
  /** Where the head is dealt. */
  readonly shared: SharedHead | undefined;
}

export interface SharedHead extends HeadShare {
  readonly vocab: number;
  /** Logits to a block. */
  readonly block: number;
  /** Where this device leads. */
  readonly merged: Merged | undefined;
}

/** Rows of the whole vocabulary, of which the host writes what a draw needs. */
export interface Merged {
  /** [rows, V] */
  readonly logits: Tensor;
  /** u32 [rows, blocks, 8] */
  readonly blocks: Tensor;
  readonly memory: PickMemory;
  /** Whose the rows are. */
  readonly step: Tensor;
  readonly plan: Plan;
  readonly records: Tensor;
}

/** Errors: out_of_memory. */
export async function createDraws(gpu: Gpu, config: ModelConfig, slots: number): Promise<Draws> {
  const { head, vocab } = config;
  if (!head) return { memory: createDrawMemory(gpu, slots, headWidth(config)), shared: undefined };
  const block = Math.min(usualBlock(gpu), head.step);
  const part = { first: head.spans[head.rank]!.from, of: vocab, block };
  const memory = createDrawMemory(gpu, slots, headWidth(config), part);
  const merged = head.rank === 0 ? await createMerged(gpu, slots, vocab, block, memory.settings) : undefined;
  return { memory, shared: { ...head, vocab, block, merged } };
}

async function createMerged(
  gpu: Gpu,
  slots: number,
  V: number,
  block: number,
  settings: Tensor,
): Promise<Merged> {
  const words = (label: string, shape: readonly number[]) => permanent(gpu, label, shape, undefined, "u32");
  const logits = permanent(gpu, "merged logits", [slots, V]);
  const blocks = words("merged blocks", [slots, Math.ceil(V / block), blockWords]);
  const memory = {
    settings,
    counts: words("merged counts", [slots, 2 + V]),
    keys: words("merged keys", [slots, V]),
  };
  const step = createStep(gpu, true);
  const recording = new Recording(gpu, { capacity: slots, batch: true, step });
  const records = pick(recording, logits, blocks, memory, block);
  return { logits, blocks, memory, step, records, plan: await recording.finish([records]) };
}

export function freeDraws({ memory, shared }: Draws): void {
  freeDrawMemory(memory);
  if (!shared?.merged) return;
  const { logits, blocks, step, plan, memory: own } = shared.merged;
  plan.destroy();
  free(logits, blocks, step, own.counts, own.keys);
}

/** What of a row comes to the host of the device's part at most, bytes: its blocks, then its logits and keys. */
export function partRowBytes(gpu: Pick<Gpu, "report">, config: ModelConfig): number {
  const { head } = config;
  if (!head) return 0;
  const width = headWidth(config);
  return 4 * blockWords * Math.ceil(width / Math.min(usualBlock(gpu), head.step)) + 8 * width;
}
