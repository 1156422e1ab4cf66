// The adapter's own ceilings, measured through plain WGSL: memory read and copied 16 bytes a load, multiply-adds of f32
// and f16, products of matrices and four-fold ones of bytes in independent chains, and the price of a dispatch.
// Everything else is told as a share of them.
import { setPriority } from "node:os";
import type { Gpu } from "../engine/gpu/adapter.ts";
import type { Pass } from "../engine/gpu/pass.ts";
import type { Plan } from "../engine/gpu/plan.ts";
import { Recording } from "../engine/gpu/recording.ts";
import { createBuffer, permanent, type Tensor } from "../engine/gpu/tensor.ts";
import { matrixShapes } from "../engine/ops/cards.ts";

export type Unit = "GB/s" | "GFLOP/s" | "µs";

export interface Case {
  name: string;
  unit: Unit;
  /** Bytes or operations of one repeat; of µs, 1. */
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

/** More than caches hold, as far as the device binds so much; whole workgroups' shares of it. */
function wallBytes(gpu: Gpu): number {
  const share = 16 * 4096;
  const bindable = Math.floor(gpu.limits.maxStorageBufferBindingSize / share) * share;
  return Math.min((isCard(gpu) ? 512 : 64) * 2 ** 20, bindable);
}

/** The wall of everything that must read its weights. */
export async function readCase(gpu: Gpu): Promise<Case> {
  const bytes = wallBytes(gpu);
  const perGroup = 4096;
  const groups = bytes / 16 / perGroup;
  const W = createBuffer(gpu, "read", bytes);
  const repeats = isCard(gpu) ? 16 : 4;
  const plan = await record(gpu, 1, repeats, (pass) => {
    const y = pass.scratch([groups]);
    const constants = { PER_GROUP: perGroup, LANES: isCard(gpu) ? 64 : 8 };
    pass.dispatch("bench_read", [W, y], { constants, groups: [groups] });
    return y;
  });
  return { name: "wall: read", unit: "GB/s", work: bytes, plan, tokens: 1, repeats };
}

/** Of the largest grid: a slow card is to do it in less than the two seconds after which drivers kill it. */
const cardRounds = 256;

/** The wall of f32 arithmetic. */
export async function fmaCase(gpu: Gpu): Promise<Case> {
  const card = isCard(gpu);
  const groups = card ? 65_535 : 8192;
  const ROUNDS = card ? cardRounds : 128;
  const plan = await record(gpu, 1, 1, (pass) => {
    const y = pass.scratch([groups * 64]);
    pass.dispatch("bench_fma", [y], { constants: { ROUNDS }, groups: [groups] });
    return y;
  });
  const work = groups * 64 * ROUNDS * 72 * 2;
  return { name: "wall: multiply-add", unit: "GFLOP/s", work, plan, tokens: 1, repeats: 1 };
}

/** Every wall that the adapter has, the first two being those that shares are of. */
export async function wallCases(gpu: Gpu): Promise<Case[]> {
  const cases = [await readCase(gpu), await fmaCase(gpu), await copyCase(gpu)];
  if (gpu.has.f16) cases.push(await chainsCase(gpu, "bench_fma_f16", "wall: multiply-add f16", 4));
  for (const { shape, WIDTH } of matrixShapes(gpu)) cases.push(await matrixCase(gpu, shape, WIDTH));
  cases.push(await chainsCase(gpu, "bench_dot", "wall: dot4I8Packed", 4), await dispatchCase(gpu));
  return cases;
}

/** The device's own matrices of a shape, ROWS x COLUMNS x DEPTH. */
async function matrixCase(gpu: Gpu, shape: string, WIDTH: number): Promise<Case> {
  const [groups, ROUNDS] = isCard(gpu) ? [65_535, cardRounds / 2] : [2048, 8]; // lavapipe has some, without units for them
  const [subgroups, chains] = [4, 8];
  const plan = await record(gpu, 1, 1, (pass) => {
    const y = pass.scratch([groups * subgroups * WIDTH]);
    pass.dispatch("bench_matrix", [y], {
      parts: [`matrix/${shape}`, "matrix/units"],
      constants: { ROUNDS, WIDTH },
      groups: [groups],
    });
    return y;
  });
  const each = shape.split("x").reduce((all, side) => all * Number(side), 2);
  const work = groups * subgroups * ROUNDS * chains * each;
  return { name: `wall: matrices ${shape}`, unit: "GFLOP/s", work, plan, tokens: 1, repeats: 1 };
}

/** Bytes count twice: read and written. */
async function copyCase(gpu: Gpu): Promise<Case> {
  const bytes = wallBytes(gpu);
  const perGroup = 4096;
  const [from, to] = [createBuffer(gpu, "copied", bytes), createBuffer(gpu, "copy", bytes)];
  const plan = await record(gpu, 1, 1, (pass) => {
    const constants = { PER_GROUP: perGroup, LANES: isCard(gpu) ? 64 : 8 };
    pass.dispatch("bench_copy", [from, to], { constants, groups: [bytes / 16 / perGroup] });
    return undefined;
  });
  return { name: "wall: copy", unit: "GB/s", work: 2 * bytes, plan, tokens: 1, repeats: 1 };
}

/** `values`: multiply-adds of one link of a chain. */
async function chainsCase(gpu: Gpu, kernel: string, name: string, values: number): Promise<Case> {
  const groups = isCard(gpu) ? 65_535 : 2048;
  const ROUNDS = isCard(gpu) ? cardRounds : 64;
  const plan = await record(gpu, 1, 1, (pass) => {
    const y = pass.scratch([groups * 64]);
    pass.dispatch(kernel, [y], { constants: { ROUNDS }, groups: [groups] });
    return y;
  });
  const work = groups * 64 * ROUNDS * 16 * values * 2;
  return { name, unit: "GFLOP/s", work, plan, tokens: 1, repeats: 1 };
}

/** Dispatches that wait for one another, as a token's do. */
async function dispatchCase(gpu: Gpu): Promise<Case> {
  const repeats = 256;
  const y = permanent(gpu, "count", [4], undefined, "u32");
  const plan = await record(gpu, 1, repeats, (pass) => {
    pass.dispatch("bench_nothing", [y], { groups: [1] });
    return undefined;
  });
  return { name: "wall: a dispatch", unit: "µs", work: 1, plan, tokens: 1, repeats };
}

/** Waiting for the queue polls at full load; a software adapter needs that core itself. */
export function lowerPriority(): void {
  try {
    setPriority(0, 19); // on Linux this is the calling thread's
  } catch {
    console.error("the polling thread keeps its priority: figures will be too low");
  }
}

export function isCard(gpu: Gpu): boolean {
  return gpu.report.kind === "hardware";
}
