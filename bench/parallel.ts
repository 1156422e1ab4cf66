// npm run bench -- parallel: what it costs that devices add up their parts through host memory: the sum itself between
// threads, the way from the device and back, and what is left of a large model's decode rate.
import { Worker } from "node:worker_threads";
import type { Gpu } from "../engine/gpu/adapter.ts";
import { createBuffer } from "../engine/gpu/tensor.ts";
import { AllReduce, createMeeting, type Wire } from "../engine/parallel/allReduce.ts";
import { sumWith, type Rehearsal } from "./rehearsal.ts";
import { originOf, saveRows } from "./results.ts";

export interface ParallelRow {
  hidden: number;
  tokens: number;
  ranks: number;
  wire: Wire;
  /** Median of one sum between threads, µs. */
  sumUs: number;
  /** Bytes that it moves (each rank writes its part and reads all) over that time, as a share of the host's copies. */
  bandwidthShare: number;
  /** Median of device → host → device around it, µs. */
  roundTripUs: number;
}

const hiddens = [2048, 4096, 5120];
const tokenCounts = [1, 32, 512];

/** Measures, prints and keeps the rows. */
export async function parallelBench(gpu: Gpu): Promise<void> {
  const rows = await parallel(gpu);
  printParallel(rows);
  const file = saveRows(
    originOf(gpu, "parallel"),
    rows.map((row) => ({ ...row })),
  );
  console.log(`rows added to ${file}`);
}

async function parallel(gpu: Gpu, wire: Wire = "f32"): Promise<ParallelRow[]> {
  const bandwidth = hostBandwidth();
  console.log(`host memory: ${(bandwidth / 1e9).toFixed(1)} GB/s copied (read and written)`);
  const rows: ParallelRow[] = [];
  for (const ranks of [2, 4])
    for (const hidden of hiddens)
      for (const tokens of tokenCounts) {
        const sumUs = await timeSum(ranks, hidden * tokens, wire);
        const bytes = ranks * (ranks + 1) * hidden * tokens * (wire === "f32" ? 4 : 2);
        const bandwidthShare = bytes / (sumUs * 1e-6) / bandwidth;
        const roundTripUs = await timeRoundTrip(gpu, hidden * tokens);
        rows.push({ hidden, tokens, ranks, wire, sumUs, bandwidthShare, roundTripUs });
      }
  return rows;
}

/** Bytes read and written a second by one thread, of buffers that no cache holds. */
function hostBandwidth(): number {
  const [from, to] = [new Float64Array(1 << 24), new Float64Array(1 << 24)];
  from.fill(1);
  const times = Array.from({ length: 7 }, () => {
    const started = performance.now();
    to.set(from);
    return (performance.now() - started) / 1000;
  });
  return (2 * from.byteLength) / median(times.slice(1));
}

/** The first rank is this thread, as it is in serving. */
async function timeSum(ranks: number, values: number, wire: Wire): Promise<number> {
  const meeting = createMeeting({ ranks, capacity: values, wire });
  const rounds = Math.max(30, Math.min(600, Math.ceil(4e6 / values)));
  const file = new URL(
    import.meta.url.endsWith(".ts") ? "./parallelRank.ts" : "./parallelRank.js",
    import.meta.url,
  );
  const others = Array.from({ length: ranks - 1 }, (_, i) => {
    const workerData: Rehearsal = { meeting, rank: i + 1, values, rounds };
    return new Worker(file, { workerData });
  });
  const reduce = new AllReduce(meeting, 0);
  const part = new Float32Array(values).fill(1);
  const times: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const started = performance.now();
    await sumWith(reduce, part);
    times.push(performance.now() - started);
  }
  await Promise.all(others.map((other) => other.terminate()));
  return 1000 * median(times.slice(Math.floor(rounds / 5)));
}

/** A copy to a mappable buffer, the wait for it, and the values back. */
async function timeRoundTrip({ device, ...gpu }: Gpu, values: number): Promise<number> {
  const source = createBuffer({ device, ...gpu }, "part", 4 * values);
  const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
  const staging = createBuffer({ device, ...gpu }, "staging", 4 * values, usage);
  const host = new Float32Array(values);
  const times: number[] = [];
  for (let round = 0; round < 40; round += 1) {
    const started = performance.now();
    const encoder = device.createCommandEncoder();
    encoder.copyBufferToBuffer(source, 0, staging, 0, 4 * values);
    device.queue.submit([encoder.finish()]);
    await staging.mapAsync(GPUMapMode.READ, 0, 4 * values);
    host.set(new Float32Array(staging.getMappedRange(0, 4 * values)));
    staging.unmap();
    device.queue.writeBuffer(source, 0, host);
    times.push(performance.now() - started);
  }
  source.destroy();
  staging.destroy();
  return 1000 * median(times.slice(8));
}

interface Modelled {
  /** Bytes of weights that a token reads, on all devices together. */
  weightBytes: number;
  layers: number;
  /** Of each device, bytes a second. */
  deviceBandwidth: number;
}

/** Tokens a second of decode: each device reads its part of the weights, and two sums a layer wait for one another. */
function decodeRate(row: ParallelRow, { weightBytes, layers, deviceBandwidth }: Modelled): number {
  const reading = weightBytes / row.ranks / deviceBandwidth;
  return 1 / (reading + 2 * layers * (row.sumUs + row.roundTripUs) * 1e-6);
}

/** Qwen3.5-27B's shape on cards of an RTX 5090's bandwidth (1.79 TB/s, of which kernels reach about 80 %). */
const large = { layers: 64, deviceBandwidth: 0.8 * 1.79e12 };
const formats = { bf16: 54e9, q8_0: 28.7e9, q4_k: 15.2e9 };

function printParallel(rows: readonly ParallelRow[]): void {
  console.log("hidden tokens ranks      sum   of host copies   device and back");
  for (const { hidden, tokens, ranks, sumUs, bandwidthShare, roundTripUs } of rows) {
    const cells = [
      ...[String(hidden).padStart(6), String(tokens).padStart(6), String(ranks).padStart(5)],
      `${sumUs.toFixed(0)} µs`.padStart(9),
      `${(100 * bandwidthShare).toFixed(0)} %`.padStart(16),
      `${roundTripUs.toFixed(0)} µs`.padStart(17),
    ];
    console.log(cells.join(" "));
  }
  for (const row of rows.filter(({ hidden, tokens }) => hidden === 5120 && tokens === 1))
    for (const [format, weightBytes] of Object.entries(formats)) {
      const rate = decodeRate(row, { ...large, weightBytes });
      console.log(
        `modelled: 27B, 64 layers, ${format}, ${row.ranks} cards of 1.79 TB/s: ${rate.toFixed(1)} tokens/s`,
      );
    }
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
}
