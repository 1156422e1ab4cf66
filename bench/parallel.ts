// npm run bench -- parallel: what it costs that devices add up their parts through host memory: the sum itself between
// threads, the way from the device and back, what a draw from logits that are on several devices gathers, and what all of
// it leaves of a large model's decode rate.
import { Worker } from "node:worker_threads";
import type { Gpu } from "../engine/gpu/adapter.ts";
import { createBuffer } from "../engine/gpu/tensor.ts";
import { AllReduce, createMeeting, type Meeting, type Wire } from "../engine/parallel/allReduce.ts";
import { tokenMs } from "../engine/parallel/choice.ts";
import { meet, type Rehearsal } from "./rehearsal.ts";
import { originOf, saveRows } from "./results.ts";
import { median } from "./median.ts";

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
  /** What a draw adds for one token: between threads, and from device to host and back, µs. */
  drawUs: number;
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
  for (const ranks of [2, 4]) {
    const drawUs = await timeDraw(gpu, ranks);
    for (const hidden of hiddens)
      for (const tokens of tokenCounts) {
        const meeting = createMeeting({ ranks, capacity: hidden * tokens, wire });
        const sumUs = await timeMeeting(meeting, hidden * tokens);
        const bytes = ranks * (ranks + 1) * hidden * tokens * (wire === "f32" ? 4 : 2);
        const bandwidthShare = bytes / (sumUs * 1e-6) / bandwidth;
        const roundTripUs = await timeRoundTrip(gpu, hidden * tokens);
        rows.push({ hidden, tokens, ranks, wire, sumUs, bandwidthShare, roundTripUs, drawUs });
      }
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

/** Qwen3.5's vocabulary, in blocks as on cards, of which a draw with top_k = 20 takes 20 (engine/serve/draw/shared.ts). */
const draw = { vocab: 248_320, block: 512, known: 8, taken: 20 };

/** What is known of all blocks, evenly dealt, then blocks of logits, all of them one rank's: as slow as it can be. */
async function timeDraw(gpu: Gpu, ranks: number): Promise<number> {
  const known = (draw.known * draw.vocab) / draw.block / ranks;
  const taken = draw.block * draw.taken;
  const even = Array.from({ length: ranks }, () => known);
  const onOne = even.map((_, rank) => (rank === ranks - 1 ? taken : 0));
  let us = 0;
  for (const [most, lengths] of [[known, even] as const, [taken, onOne] as const]) {
    us += await timeMeeting(createMeeting({ ranks, capacity: taken }), taken, lengths);
    us += await timeRoundTrip(gpu, most);
  }
  return us;
}

/** Median of sums, or of what is gathered, µs. The first rank is this thread, as it is in serving. */
async function timeMeeting(meeting: Meeting, values: number, lengths?: readonly number[]): Promise<number> {
  const rounds = Math.max(30, Math.min(600, Math.ceil(4e6 / values)));
  const file = new URL(
    import.meta.url.endsWith(".ts") ? "./parallelRank.ts" : "./parallelRank.js",
    import.meta.url,
  );
  const rehearsal = (rank: number): Rehearsal => ({
    meeting,
    rank,
    values,
    rounds,
    ...(lengths && { lengths }),
  });
  const others = Array.from({ length: meeting.ranks - 1 }, (_, i) => {
    return new Worker(file, { workerData: rehearsal(i + 1) });
  });
  const reduce = new AllReduce(meeting, 0);
  const part = new Float32Array(values).fill(1);
  const times: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const started = performance.now();
    await meet(reduce, rehearsal(0), part);
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
  /** Of weights that a token reads, on all devices together, and of one. */
  parameters: number;
  bits: number;
  layers: number;
  /** Of each device, bytes a second. */
  deviceBandwidth: number;
}

/**
 * Tokens a second of decode: in parts of every layer and of the head, each device reads its own at once, and they meet
 * twice a layer and for the draw; in runs of layers, one reads after the other, and a token goes on from each once.
 */
function decodeRates(row: ParallelRow, { parameters, bits, layers, deviceBandwidth }: Modelled) {
  const readMs = (1000 * parameters * bits) / 8 / deviceBandwidth;
  const sumMs = (row.sumUs + row.roundTripUs) / 1000;
  const { pipeline } = tokenMs({ devices: row.ranks, layers, readMs, sumMs });
  const tensor = readMs / row.ranks + 2 * layers * sumMs + row.drawUs / 1000;
  return { tensor: 1000 / tensor, pipeline: 1000 / pipeline };
}

/**
 * Qwen3.5-27B's shape on cards of an RTX 5090's bandwidth (1.79 TB/s, of which kernels reach about 80 %). A token reads
 * all of it but the embedding, of which it reads a row.
 */
const large = { parameters: 27e9 - 248_320 * 5120, layers: 64, deviceBandwidth: 0.8 * 1.79e12 };
/** What NCCL reached with Q6_K on two such cards is the mark. */
const formats = { bf16: 16, q8_0: 8.5, q6_k: 6.5625, q4_k: 4.5 };

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
  for (const row of rows.filter(({ hidden, tokens }) => hidden === 5120 && tokens === 1)) {
    const { vocab, taken } = draw;
    const what = `a draw from ${vocab} tokens with top_k = ${taken}`;
    console.log(`${what} over ${row.ranks}: ${row.drawUs.toFixed(0)} µs besides`);
    for (const [format, bits] of Object.entries(formats)) {
      const { tensor, pipeline } = decodeRates(row, { ...large, bits });
      const shape = `27B, 64 layers, ${format}, ${row.ranks} cards of 1.79 TB/s`;
      const rates = `${tensor.toFixed(1)} tokens/s by tensor, ${pipeline.toFixed(1)} by pipeline`;
      const mark = format === "q6_k" && row.ranks === 2 ? " (the mark is 35)" : "";
      console.log(`modelled: ${shape}: ${rates}${mark}`);
    }
  }
}
