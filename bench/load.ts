// load: weights from the disk onto the device, as a share of the slower of the two: what the disk gives, and what the
// queue takes. All three are measured in turns, on the same bytes; the disk's files may well come from the host's
// cache, for all of them alike. The first load also compiles, beside the reading.
//   npm run bench -- load PATH [--quant TYPE] [--adapter NAME]
import { open } from "node:fs/promises";
import { maxChunkBytes, openCheckpoint, type Checkpoint } from "../engine/formats/checkpoint.ts";
import { openConverter } from "../engine/formats/quantise/pool.ts";
import type { Gpu } from "../engine/gpu/adapter.ts";
import { createBuffer } from "../engine/gpu/tensor.ts";
import { parseConfig } from "../engine/models/config.ts";
import { Loader } from "../engine/models/loader.ts";
import { architectures } from "../engine/models/registry.ts";
import { loadModel } from "../engine/serve/device.ts";
import { commit } from "./commit.ts";

const rounds = 5;
/** Reads, and uploads, under way at once. */
const lanes = 3;
const windowBytes = 32 << 20;

/** Prints the table and the line for bench/results. */
export async function load(gpu: Gpu, path: string, quant?: string): Promise<void> {
  const checkpoint = await openCheckpoint(path, quant);
  const bytes = checkpoint.totalBytes;
  const files = [...new Set(checkpoint.names.map((name) => checkpoint.entry(name).file))];
  const first = await seconds(async () => {
    const converter = openConverter();
    const options = { contextLength: 1024, ...(quant === undefined ? {} : { quant }) };
    (await loadModel(gpu, path, options, { converter })).destroy();
    await converter.close();
  });
  const times: Record<"disk" | "upload" | "load", number[]> = { disk: [], upload: [], load: [] };
  let hostBytes = 0;
  for (let round = 0; round < rounds; round += 1) {
    times.disk.push(await seconds(() => readAll(files)));
    times.upload.push(await seconds(() => uploadAll(gpu, bytes)));
    const filled = await fillOnce(gpu, checkpoint);
    times.load.push(filled.seconds);
    hostBytes = Math.max(hostBytes, filled.hostBytes);
  }
  await checkpoint.close();
  const rate = (name: keyof typeof times) => bytes / 1e9 / median(times[name]);
  const wall = Math.min(rate("disk"), rate("upload"));
  const rows = { diskGBs: rate("disk"), uploadGBs: rate("upload"), loadGBs: rate("load") };
  const share = rows.loadGBs / wall;
  console.table({
    disk: { "GB/s": rows.diskGBs.toFixed(2) },
    upload: { "GB/s": rows.uploadGBs.toFixed(2) },
    load: { "GB/s": rows.loadGBs.toFixed(2), "of the slower": `${(100 * share).toFixed(0)} %` },
  });
  console.log(
    `${(bytes / 1e9).toFixed(2)} GB; at most ${(hostBytes / 2 ** 20).toFixed(0)} MiB of host buffers; the first load, with kernels compiled beside it, ${first.toFixed(1)} s`,
  );
  const about = { path, quant: quant ?? null, bytes, hostBytes, firstLoadSeconds: first, share, ...rows };
  console.log(JSON.stringify({ bench: "load", commit: commit(), device: gpu.report.name, ...about }));
}

/** All files in chunks as the loader reads them, into memory that is used again. */
async function readAll(files: readonly string[]): Promise<void> {
  for (const path of files) {
    const file = await open(path);
    const { size } = await file.stat();
    let next = 0;
    await inLanes(async () => {
      const buffer = new Uint8Array(maxChunkBytes);
      while (next < size) {
        const at = next;
        next += buffer.length;
        await file.read(buffer, 0, Math.min(buffer.length, size - at), at);
      }
    });
    await file.close();
  }
}

/** So many bytes into buffers of the device, each written once, as the loader hands them over. */
async function uploadAll(gpu: Gpu, bytes: number): Promise<void> {
  const chunk = new Uint8Array(maxChunkBytes).fill(1);
  const largest = Math.min(gpu.limits.maxBufferSize, 128 << 20);
  const buffers: GPUBuffer[] = [];
  let queued = 0;
  let before: Promise<unknown> = Promise.resolve();
  for (let left = bytes; left > 0; left -= largest) {
    const buffer = createBuffer(gpu, "upload", Math.min(largest, left));
    buffers.push(buffer);
    for (let at = 0; at + 4 <= buffer.size; at += chunk.length) {
      const part = chunk.subarray(0, Math.min(chunk.length, buffer.size - at));
      gpu.device.queue.writeBuffer(buffer, at, part);
      queued += part.length;
      if (queued < windowBytes) continue;
      queued = 0;
      await before;
      before = gpu.device.queue.onSubmittedWorkDone();
    }
  }
  await gpu.device.queue.onSubmittedWorkDone();
  for (const buffer of buffers) buffer.destroy();
}

/** The weights alone, with nothing to compile; and how far the host's own buffers grew meanwhile. */
async function fillOnce(gpu: Gpu, checkpoint: Checkpoint): Promise<{ seconds: number; hostBytes: number }> {
  const converter = openConverter();
  const before = process.memoryUsage().arrayBuffers;
  let most = before;
  const onBytes = () => (most = Math.max(most, process.memoryUsage().arrayBuffers));
  const loader = new Loader(gpu, checkpoint, { converter, onBytes });
  const config = parseConfig(checkpoint.config, checkpoint.configFile);
  const took = await seconds(async () => {
    await architectures[config.modelType](loader, config);
    await loader.fill();
    await gpu.device.queue.onSubmittedWorkDone();
  });
  loader.dispose();
  await converter.close();
  return { seconds: took, hostBytes: most - before };
}

async function inLanes(work: () => Promise<void>): Promise<void> {
  await Promise.all(Array.from({ length: lanes }, work));
}

async function seconds(work: () => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await work();
  return (performance.now() - begun) / 1000;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!;
}
