// kernels: how near mat-vec and matmul come to what the adapter can do at all. The walls are measured in the same
// minutes by plain WGSL (walls.ts); a mat-vec must read every weight once, a matmul must do every multiply-add. All cases
// take turns, so that another load on the machine falls on all alike; compare the shares, not the figures.
//   npm run bench -- kernels [--adapter NAME] [--only PART]
import type { Gpu } from "../engine/gpu/adapter.ts";
import { permanent, weightRowBytes, type Weight, type WeightFormat } from "../engine/gpu/tensor.ts";
import { createStep, stepValues } from "../engine/gpu/step.ts";
import { bufferOf } from "../engine/gpu/readback.ts";
import { Recording } from "../engine/gpu/recording.ts";
import { Tuning } from "../engine/gpu/tuning.ts";
import { createWeight } from "../engine/gpu/weight.ts";
import {
  createDrawMemory,
  linear,
  rmsNorm,
  sample,
  swiglu,
  tune,
  writeDrawStart,
  type DrawStart,
} from "../engine/ops/index.ts";
import { countingGpu } from "../engine/serve/counting.ts";
import { clockFor, type Clock } from "./clock.ts";
import { originOf, saveRows } from "./results.ts";
import { isCard, lowerPriority, record, wallCases, type Case, type Unit } from "./walls.ts";

export interface KernelRow {
  name: string;
  /** Median of the rounds, for one dispatch. */
  ms: number;
  /** Of the fastest round; of dispatches the time itself. */
  rate: number;
  unit: Unit;
  /** Of the wall in the same unit, fastest round against fastest round. */
  share: number | undefined;
  clock: Clock["name"];
}

const rounds = 9;
const tuneLimitMs = 120_000;

/**
 * A card does a product in some microseconds, and waiting for it takes a hundred: there are so many to a round that they
 * take a millisecond at least, over weights that its cache does not hold.
 */
const enough = { bytes: 2 ** 32, flops: 2e11, cacheBytes: 2 ** 27, most: 512 };

/** How often a product is done in a round, and over how many copies of W. `usual`: on software. */
function timesOf(gpu: Gpu, usual: number, bytes: number, flops: number): { repeats: number; copies: number } {
  if (!isCard(gpu)) return { repeats: usual, copies: 1 };
  const wanted = Math.ceil(Math.min(enough.bytes / bytes, enough.flops / flops));
  const repeats = Math.max(1, Math.min(enough.most, wanted));
  return { repeats, copies: Math.ceil(enough.cacheBytes / bytes) };
}

/** Of a card, by format and shape: cases share them, since all are there at once. */
const cardCopies = new WeakMap<GPUDevice, Map<string, Weight[]>>();

function copiesOf(gpu: Gpu, count: number, shape: readonly [number, number], format: WeightFormat): Weight[] {
  const make = () => Array.from({ length: count }, () => createWeight(gpu, "W", shape, format));
  if (!isCard(gpu)) return make();
  const known = cardCopies.get(gpu.device) ?? new Map<string, Weight[]>();
  cardCopies.set(gpu.device, known);
  const key = `${format} ${shape.join()} ${count}`;
  const weights = known.get(key) ?? make();
  known.set(key, weights);
  return weights;
}

/** Measures, prints a table, keeps the rows. `only`: cases whose name has it, and the walls. */
export async function kernels(gpu: Gpu, only = ""): Promise<KernelRow[]> {
  const clock = clockFor(gpu);
  await tuneFor(gpu, only);
  const chosen = await allCases(gpu, only);
  if (chosen.length === 0) throw new Error(`--only ${only}: no case has that in its name`);
  const cases = [...(await wallCases(gpu)), ...chosen];
  await gpu.device.queue.onSubmittedWorkDone();
  if (gpu.report.kind === "software") lowerPriority();
  const times = await measure(gpu, clock, cases);
  const rate = (c: Case, i: number) => {
    const ms = Math.min(...times[i]!);
    return c.unit === "µs" ? ms * 1000 : c.work / ms / 1e6;
  };
  const walls: Partial<Record<Unit, number>> = { "GB/s": rate(cases[0]!, 0), "GFLOP/s": rate(cases[1]!, 1) };
  const rows = cases.map((c, i): KernelRow => {
    const ms = times[i]!.sort((a, b) => a - b)[rounds >> 1]!;
    const wall = walls[c.unit];
    const share = wall === undefined ? undefined : rate(c, i) / wall;
    return { name: c.name, ms, rate: rate(c, i), unit: c.unit, share, clock: clock.name };
  });
  for (const { plan } of cases) plan.destroy();
  print(rows);
  console.log(saveRows(originOf(gpu, "kernels"), rows as unknown as Record<string, unknown>[]));
  return rows;
}

/** As a load would choose its kernels on this device; nothing where it measures none. */
async function tuneFor(gpu: Gpu, only: string): Promise<void> {
  if (!gpu.tuning.searching) return;
  await allCases(countingGpu(gpu).gpu, only);
  await tune(gpu, tuneLimitMs);
}

async function measure(gpu: Gpu, clock: Clock, cases: readonly Case[]): Promise<number[][]> {
  const times = cases.map((): number[] => []);
  for (let round = -1; round < rounds; round++) {
    for (const [i, { plan, tokens, repeats }] of cases.entries()) {
      const start = clock.now();
      plan.submit(tokens);
      await gpu.device.queue.onSubmittedWorkDone();
      if (round >= 0) times[i]!.push((clock.now() - start) / repeats); // the first round warms up
    }
  }
  return times;
}

/** Qwen3-0.6B's: q, k and v; gate and up; down; a quarter of the head. */
const shapes: readonly [K: number, N: number][] = [
  [1024, 4096],
  [1024, 6144],
  [3072, 1024],
  [1024, 37_984],
];

async function allCases(gpu: Gpu, only: string): Promise<Case[]> {
  const makers: [name: string, make: (name: string) => Promise<Case>][] = [];
  for (const format of [
    "f32",
    "bf16",
    "f16",
    "q8_0",
    "q6_k",
    "q5_k",
    "q4_0",
    "q4_k",
    "q3_k",
    "q2_k",
  ] as const)
    for (const [K, N] of shapes)
      makers.push([`matvec ${format} ${N}×${K}`, (name) => matvecCase(gpu, name, K, N, format)]);
  for (const columns of [2, 4, 8] as const)
    for (const format of ["bf16", "q8_0", "q4_k"] as const)
      makers.push([
        `matvec ${format} 6144×1024 ·${columns}`,
        (name) => batchCase(gpu, name, columns, format),
      ]);
  for (const T of [8, 32, 128, 512])
    for (const format of ["bf16", "q8_0", "q4_0", "q4_k"] as const)
      makers.push([
        `matmul ${format} ${T}·1024×3072`,
        (name) => matmulCase(gpu, name, T, 1024, 3072, format),
      ]);
  const strict = { ...gpu, tuning: new Tuning({ strict: true }) };
  for (const T of [128, 512])
    for (const format of ["q8_0", "q4_0", "q4_k"] as const)
      makers.push([
        `matmul ${format} ${T}·1024×3072 strict`,
        (name) => matmulCase(strict, name, T, 1024, 3072, format),
      ]);
  makers.push(["matmul f32 512·3072×1024", (name) => matmulCase(gpu, name, 512, 3072, 1024, "f32")]);
  makers.push(["swiglu bf16 512·1024×6144", (name) => swigluCase(gpu, name, 512, 1024, 6144)]);
  makers.push(["rms_norm 1×1024", (name) => normCase(gpu, name, 1, 1024)]);
  makers.push(["rms_norm 512×1024", (name) => normCase(gpu, name, 512, 1024)]);
  makers.push(["draw 151936 greedy", (name) => drawCase(gpu, name, 151_936, {})]);
  for (const [settings, change] of draws)
    makers.push([`draw 151936 ${settings}`, (name) => drawCase(gpu, name, 151_936, change)]);
  const cases: Case[] = [];
  for (const [name, make] of makers) if (name.includes(only)) cases.push(await make(name));
  return cases;
}

/** A token of each of several sequences. The weights are read once or more for them, but count once. */
async function batchCase(gpu: Gpu, name: string, columns: number, format: WeightFormat): Promise<Case> {
  const [K, N] = [1024, 6144];
  const work = N * weightRowBytes(format, K);
  const { repeats, copies } = timesOf(gpu, 4, work, 2 * columns * N * K);
  const step = createStep(gpu, true);
  const each = Array.from({ length: columns }, (_, slot) => ({ row: 0, slot }));
  gpu.device.queue.writeBuffer(bufferOf(step), 0, stepValues({ each }));
  const pass = new Recording(gpu, { capacity: columns, batch: true, step });
  const x = permanent(gpu, "x", [columns, K]);
  const weights = copiesOf(gpu, copies, [N, K], format);
  const outputs = Array.from({ length: repeats }, (_, i) => linear(pass, x, weights[i % copies]!));
  const plan = await pass.finish(outputs);
  return { name, unit: "GB/s", work, plan, tokens: columns, repeats };
}

async function matvecCase(gpu: Gpu, name: string, K: number, N: number, format: WeightFormat): Promise<Case> {
  const work = N * weightRowBytes(format, K);
  const { repeats, copies } = timesOf(gpu, 4, work, 2 * N * K);
  const x = permanent(gpu, "x", [1, K]);
  const weights = copiesOf(gpu, copies, [N, K], format);
  const plan = await record(gpu, 1, repeats, (pass, i) => linear(pass, x, weights[i % copies]!));
  return { name, unit: "GB/s", work, plan, tokens: 1, repeats };
}

async function matmulCase(
  gpu: Gpu,
  name: string,
  T: number,
  K: number,
  N: number,
  format: WeightFormat,
): Promise<Case> {
  const work = 2 * T * K * N;
  const { repeats, copies } = timesOf(gpu, 1, N * weightRowBytes(format, K), work);
  const x = permanent(gpu, "x", [T, K]);
  const weights = copiesOf(gpu, copies, [N, K], format);
  const plan = await record(gpu, T, repeats, (pass, i) => linear(pass, x, weights[i % copies]!));
  return { name, unit: "GFLOP/s", work, plan, tokens: T, repeats };
}

async function swigluCase(gpu: Gpu, name: string, T: number, K: number, N: number): Promise<Case> {
  const work = 2 * T * K * N;
  const { repeats, copies } = timesOf(gpu, 1, N * weightRowBytes("bf16", K), work);
  const x = permanent(gpu, "x", [T, K]);
  const weights = copiesOf(gpu, copies, [N, K], "bf16");
  const plan = await record(gpu, T, repeats, (pass, i) => swiglu(pass, x, weights[i % copies]!));
  return { name, unit: "GFLOP/s", work, plan, tokens: T, repeats };
}

async function normCase(gpu: Gpu, name: string, T: number, C: number): Promise<Case> {
  const repeats = 8;
  const x = permanent(gpu, "x", [T, C]);
  const w = permanent(gpu, "w", [C]);
  const plan = await record(gpu, T, repeats, (pass) => rmsNorm(pass, x, w, { eps: 1e-6, offset: 1 }));
  return { name, unit: "GB/s", work: T * C * 8, plan, tokens: T, repeats };
}

const draws: readonly [string, Partial<DrawStart["sampling"]>][] = [
  ["temperature", { temperature: 1 }],
  ["top_k top_p", { temperature: 0.7, topK: 20, topP: 0.95 }],
  ["top_p", { temperature: 1, topP: 0.95 }],
  ["penalties", { temperature: 0.7, topK: 20, topP: 0.95, presencePenalty: 1 }],
];

/** A row of a vocabulary's logits, a few peaks on a long tail, drawn from as a request may ask. */
async function drawCase(
  gpu: Gpu,
  name: string,
  V: number,
  change: Partial<DrawStart["sampling"]>,
): Promise<Case> {
  const repeats = 8;
  const tail = Float32Array.from({ length: V }, (_, i) => 2 * Math.sin(i * i) + Math.cos(31 * i));
  for (let i = 0; i < 40; i += 1) tail[(i * 7919) % V] = 5 + i / 8;
  const logits = permanent(gpu, "logits", [1, V], tail);
  const memory = createDrawMemory(gpu, 1, V);
  const off = { minP: 0, repetitionPenalty: 1, presencePenalty: 0, frequencyPenalty: 0, logitBias: {} };
  const sampling = { temperature: 0, topK: 0, topP: 1, seed: 1, ...off, ...change };
  writeDrawStart(gpu, memory, 0, { sampling, prompt: [], drawn: [], candidates: undefined, masked: false });
  const plan = await record(gpu, 1, repeats, (pass) => sample(pass, logits, memory));
  return { name, unit: "GB/s", work: V * 4, plan, tokens: 1, repeats };
}

function print(rows: readonly KernelRow[]): void {
  const shown = rows.map(({ name, ms, rate, unit, share }) => ({
    name,
    ms: ms.toFixed(3),
    rate: `${rate.toFixed(1)} ${unit}`,
    "of the wall": share === undefined ? "" : `${(100 * share).toFixed(0)} %`,
  }));
  console.table(shown);
}
