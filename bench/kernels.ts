// kernels: how near mat-vec and matmul come to what the adapter can do at all. The walls are measured in the same
// minutes by plain WGSL: memory read 16 bytes a load (a mat-vec must read every weight once) and f32 multiply-adds in
// sixteen independent chains. All cases take turns, so that another load on the machine falls on all alike; compare
// the shares, not the figures.    node dist/bench/kernels.js [ADAPTER] | tail -1
import { pathToFileURL } from "node:url";
import { openGpu, type Gpu } from "../engine/gpu/adapter.ts";
import { permanent, weightRowBytes, type WeightFormat } from "../engine/gpu/tensor.ts";
import { createWeight } from "../engine/gpu/weight.ts";
import { argmax, linear, rmsNorm, swiglu } from "../engine/ops/index.ts";
import { commit } from "./commit.ts";
import { fmaCase, lowerPriority, readCase, record, type Case } from "./walls.ts";

export interface KernelRow {
  name: string;
  /** Median of the rounds, for one dispatch. */
  ms: number;
  /** Of the fastest round: GB/s of memory, or GFLOP/s. */
  rate: number;
  unit: "GB/s" | "GFLOP/s";
  /** Of the wall in the same unit, fastest round against fastest round. */
  share: number;
}

const rounds = 9;

/** Measures, prints a table and one line of JSON, returns the rows. */
export async function kernels(gpu: Gpu): Promise<KernelRow[]> {
  const cases = await allCases(gpu);
  await gpu.device.queue.onSubmittedWorkDone();
  if (gpu.report.kind === "software") lowerPriority();
  const times = await measure(gpu, cases);
  const rate = (c: Case, i: number) => c.work / Math.min(...times[i]!) / 1e6;
  const wall = { "GB/s": rate(cases[0]!, 0), "GFLOP/s": rate(cases[1]!, 1) };
  const rows = cases.map((c, i) => {
    const ms = times[i]!.sort((a, b) => a - b)[rounds >> 1]!;
    return { name: c.name, ms, rate: rate(c, i), unit: c.unit, share: rate(c, i) / wall[c.unit] };
  });
  for (const { plan } of cases) plan.destroy();
  print(gpu, rows);
  return rows;
}

async function measure(gpu: Gpu, cases: readonly Case[]): Promise<number[][]> {
  const times = cases.map((): number[] => []);
  for (let round = -1; round < rounds; round++) {
    for (const [i, { plan, tokens, repeats }] of cases.entries()) {
      const start = performance.now();
      plan.submit(tokens);
      await gpu.device.queue.onSubmittedWorkDone();
      if (round >= 0) times[i]!.push((performance.now() - start) / repeats); // the first round warms up
    }
  }
  return times;
}

async function allCases(gpu: Gpu): Promise<Case[]> {
  const cases = [await readCase(gpu), await fmaCase(gpu)];
  const shapes: [K: number, N: number][] = [
    [1024, 6144],
    [3072, 1024],
    [2048, 16_384],
  ];
  for (const format of ["bf16", "f16", "f32"] as const)
    for (const [K, N] of shapes) cases.push(await matvecCase(gpu, K, N, format));
  for (const T of [8, 32, 128, 512]) cases.push(await matmulCase(gpu, T, 1024, 3072, "bf16"));
  cases.push(await matmulCase(gpu, 512, 3072, 1024, "f32"));
  cases.push(await swigluCase(gpu, 512, 1024, 6144));
  cases.push(await normCase(gpu, 1, 1024), await normCase(gpu, 512, 1024), await argmaxCase(gpu, 151_936));
  return cases;
}

async function matvecCase(gpu: Gpu, K: number, N: number, format: WeightFormat): Promise<Case> {
  const repeats = 4;
  const x = permanent(gpu, "x", [1, K]);
  const W = createWeight(gpu, "W", [N, K], format);
  const plan = await record(gpu, 1, repeats, (pass) => linear(pass, x, W));
  const work = N * weightRowBytes(format, K);
  return { name: `matvec ${format} ${N}×${K}`, unit: "GB/s", work, plan, tokens: 1, repeats };
}

async function matmulCase(gpu: Gpu, T: number, K: number, N: number, format: WeightFormat): Promise<Case> {
  const x = permanent(gpu, "x", [T, K]);
  const W = createWeight(gpu, "W", [N, K], format);
  const plan = await record(gpu, T, 1, (pass) => linear(pass, x, W));
  const work = 2 * T * K * N;
  return { name: `matmul ${format} ${T}·${K}×${N}`, unit: "GFLOP/s", work, plan, tokens: T, repeats: 1 };
}

async function swigluCase(gpu: Gpu, T: number, K: number, N: number): Promise<Case> {
  const x = permanent(gpu, "x", [T, K]);
  const W = createWeight(gpu, "W", [N, K], "bf16");
  const plan = await record(gpu, T, 1, (pass) => swiglu(pass, x, W));
  const work = 2 * T * K * N;
  return { name: `swiglu bf16 ${T}·${K}×${N}`, unit: "GFLOP/s", work, plan, tokens: T, repeats: 1 };
}

async function normCase(gpu: Gpu, T: number, C: number): Promise<Case> {
  const repeats = 8;
  const x = permanent(gpu, "x", [T, C]);
  const w = permanent(gpu, "w", [C]);
  const plan = await record(gpu, T, repeats, (pass) => rmsNorm(pass, x, w, { eps: 1e-6, offset: 1 }));
  return { name: `rms_norm ${T}×${C}`, unit: "GB/s", work: T * C * 8, plan, tokens: T, repeats };
}

async function argmaxCase(gpu: Gpu, V: number): Promise<Case> {
  const repeats = 8;
  const logits = permanent(gpu, "logits", [1, V]);
  const plan = await record(gpu, 1, repeats, (pass) => argmax(pass, logits));
  return { name: `argmax ${V}`, unit: "GB/s", work: V * 4, plan, tokens: 1, repeats };
}

function print(gpu: Gpu, rows: readonly KernelRow[]): void {
  const shown = rows.map(({ name, ms, rate, unit, share }) => ({
    name,
    ms: ms.toFixed(3),
    rate: `${rate.toFixed(1)} ${unit}`,
    "of the wall": `${(100 * share).toFixed(0)} %`,
  }));
  console.table(shown);
  console.log(JSON.stringify({ bench: "kernels", commit: commit(), device: gpu.report.name, rows }));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const gpu = await openGpu({ adapter: process.argv[2] });
  await kernels(gpu);
  gpu.destroy();
}
