// The adapter's own ceilings, measured through plain WGSL: memory read 16 bytes a load, and f32 multiply-adds in
// sixteen independent chains. Everything else is told as a share of them.
import { setPriority } from "node:os";
import type { Gpu } from "../engine/gpu/adapter.ts";
import { Recording, type Pass, type Plan } from "../engine/gpu/plan.ts";
import { createBuffer, permanent, type Tensor } from "../engine/gpu/tensor.ts";

export interface Case {
  name: string;
  unit: "GB/s" | "GFLOP/s";
  /** Bytes or floating-point operations of one repeat. */
  work: number;
  plan: Plan;
  tokens: number;
  repeats: number;
}

/** A plan of `repeats` equal ops that depend on nothing. */
export async function record(
  gpu: Gpu,
  capacity: number,
  repeats: number,
  op: (pass: Pass, i: number) => Tensor | undefined,
): Promise<Plan> {
  const step = permanent(gpu, "step", [4], Uint32Array.of(capacity, 0, 0, 0));
  const recording = new Recording(gpu, { capacity, step });
  const outputs = Array.from({ length: repeats }, (_, i) => op(recording, i));
  return recording.finish(outputs.filter((output) => output !== undefined));
}

/** The wall of everything that must read its weights. */
export async function readCase(gpu: Gpu): Promise<Case> {
  const bytes = (isCard(gpu) ? 512 : 64) * 2 ** 20;
  const perGroup = 4096;
  const groups = bytes / 16 / perGroup;
  const W = createBuffer(gpu, "read", bytes);
  const plan = await record(gpu, 1, 4, (pass) => {
    const y = pass.scratch([groups]);
    const constants = { PER_GROUP: perGroup, LANES: isCard(gpu) ? 64 : 8 };
    pass.dispatch("bench_read", [W, y], { constants, groups: [groups] });
    return y;
  });
  return { name: "wall: read", unit: "GB/s", work: bytes, plan, tokens: 1, repeats: 4 };
}

/** The wall of f32 arithmetic. */
export async function fmaCase(gpu: Gpu): Promise<Case> {
  const card = isCard(gpu);
  const groups = card ? 65_535 : 8192;
  const ROUNDS = card ? 4096 : 256;
  const plan = await record(gpu, 1, 1, (pass) => {
    const y = pass.scratch([groups * 64]);
    pass.dispatch("bench_fma", [y], { constants: { ROUNDS }, groups: [groups] });
    return y;
  });
  const work = groups * 64 * ROUNDS * 16 * 2;
  return { name: "wall: multiply-add", unit: "GFLOP/s", work, plan, tokens: 1, repeats: 1 };
}

/** Memory read, GB/s: the best of a few tries. */
export async function readBandwidth(gpu: Gpu, wall: Case): Promise<number> {
  let best = Infinity;
  for (let i = 0; i < 3; i += 1) {
    const begun = performance.now();
    wall.plan.submit(wall.tokens);
    await gpu.device.queue.onSubmittedWorkDone();
    best = Math.min(best, (performance.now() - begun) / wall.repeats);
  }
  return wall.work / best / 1e6;
}

/** Waiting for the queue polls at full load; a software adapter needs that core itself. */
export function lowerPriority(): void {
  try {
    setPriority(0, 19); // on Linux this is the calling thread's
  } catch {
    console.error("the polling thread keeps its priority: figures will be too low");
  }
}

function isCard(gpu: Gpu): boolean {
  return gpu.report.kind === "hardware";
}
