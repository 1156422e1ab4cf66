// kernels --peer: single matrix products of ours in turn with a peer's. Each case is a chain 1024 → 3072 → 1024 → …, a
// matrix of its own for every link, so that what starts and ends a run is shared out and no cache holds the weights.
//   npm run bench -- kernels --peer onnxruntime-node [--only f32|f16|q4|q4_i8] [--rounds N] [--adapter NAME]
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Gpu } from "../../engine/gpu/adapter.ts";
import type { Plan } from "../../engine/gpu/plan.ts";
import { calmly } from "../../engine/gpu/polls.ts";
import { permanent, weightRowBytes, type WeightFormat } from "../../engine/gpu/tensor.ts";
import { createWeight } from "../../engine/gpu/weight.ts";
import { linear } from "../../engine/ops/index.ts";
import { originOf, saveRows } from "../results.ts";
import { lowerPriority, record } from "../walls.ts";
import { openPeer, type Peer } from "./index.ts";
import { median } from "../median.ts";

export interface MatmulRow {
  /** The peer's matrices; ours are f32, f16 and q4_0. q4_i8: what they are multiplied with has 8 bits, as ours has. */
  format: string;
  rows: number;
  /** Medians of the rounds for one product, by the wall clock. */
  ms: number;
  peerMs: number;
  peer: string;
  /** How many times faster ours is, the median of the rounds' ratios. */
  ratio: number;
  /** Of one row the weights' GB/s, of many GFLOP/s. */
  rate: number;
  peerRate: number;
  unit: "GB/s" | "GFLOP/s";
}

const formats: Readonly<Record<string, WeightFormat>> = {
  f32: "f32",
  f16: "f16",
  q4: "q4_0",
  q4_i8: "q4_0",
};
const cases: readonly { rows: number; pairs: number }[] = [
  { rows: 1, pairs: 8 },
  { rows: 512, pairs: 1 },
];
const [narrow, wide] = [1024, 3072];

/** Measures, prints a table, keeps the rows. Errors: of the peer. */
export async function matmuls(
  gpu: Gpu,
  options: { peer: string; only?: string | undefined; rounds: number },
): Promise<MatmulRow[]> {
  const measured: MatmulRow[] = [];
  for (const [format, ours] of Object.entries(formats))
    for (const { rows, pairs } of format.includes(options.only ?? "") ? cases : [])
      measured.push(await oneCase(gpu, options, { format, ours, rows, pairs }));
  print(measured);
  console.log(saveRows(originOf(gpu, "matmuls"), measured as unknown as Record<string, unknown>[]));
  return measured;
}

async function oneCase(
  gpu: Gpu,
  options: { peer: string; rounds: number },
  { format, ours, rows, pairs }: { format: string; ours: WeightFormat; rows: number; pairs: number },
): Promise<MatmulRow> {
  const folder = mkdtempSync(join(tmpdir(), "neuron-bench-matmul-"));
  const peer = await openPeer({ what: "matmul", peer: options.peer, folder, format, pairs, rows });
  const plan = await chain(gpu, ours, rows, pairs);
  await timed(gpu, plan, rows); // the driver's threads are made at the first run, with the priority of ours
  if (gpu.report.kind === "software") lowerPriority();
  const times: [ms: number, peerMs: number][] = [];
  try {
    for (let round = -1; round < options.rounds; round += 1) {
      const time: [number, number] = [await timed(gpu, plan, rows), await peer.run("prefill", rows)];
      if (round >= 0) times.push(time); // the first round warms up
    }
  } finally {
    plan.destroy();
    await peer.close();
    rmSync(folder, { recursive: true });
  }
  return rowOf(times, peer, { format, ours, rows, links: 2 * pairs });
}

function rowOf(
  times: readonly [ms: number, peerMs: number][],
  peer: Peer,
  { format, ours, rows, links }: { format: string; ours: WeightFormat; rows: number; links: number },
): MatmulRow {
  const ms = median(times.map(([time]) => time / links));
  const peerMs = median(times.map(([, time]) => time / links));
  const ratio = median(times.map(([our, its]) => its / our));
  const work = rows === 1 ? wide * weightRowBytes(ours, narrow) : 2 * rows * narrow * wide;
  const rates = { rate: work / ms / 1e6, peerRate: work / peerMs / 1e6 };
  return {
    format,
    rows,
    ms,
    peerMs,
    peer: peer.name,
    ratio,
    ...rates,
    unit: rows === 1 ? "GB/s" : "GFLOP/s",
  };
}

async function chain(gpu: Gpu, format: WeightFormat, rows: number, pairs: number): Promise<Plan> {
  let y = permanent(gpu, "x", [rows, narrow]);
  const weights = Array.from({ length: 2 * pairs }, (_, i) =>
    createWeight(gpu, `W${i}`, i % 2 === 0 ? [wide, narrow] : [narrow, wide], format),
  );
  return record(gpu, rows, weights.length, (pass, i) => (y = linear(pass, y, weights[i]!)));
}

/** As the engine awaits a turn: a thread that looks without a pause keeps a core on which the device's second one would be. */
async function timed(gpu: Gpu, plan: Plan, rows: number): Promise<number> {
  const begun = performance.now();
  plan.submit(rows);
  await calmly(gpu.device.queue.onSubmittedWorkDone());
  return performance.now() - begun;
}

function print(measured: readonly MatmulRow[]): void {
  console.table(
    measured.map(({ format, rows, ms, peerMs, rate, peerRate, unit, ratio }) => ({
      "1024×3072": `${format}, ${rows} rows`,
      ms: ms.toFixed(3),
      "peer's ms": peerMs.toFixed(3),
      rate: `${rate.toFixed(2)} ${unit}`,
      "peer's rate": `${peerRate.toFixed(2)} ${unit}`,
      "times the peer": ratio.toFixed(1),
    })),
  );
}
