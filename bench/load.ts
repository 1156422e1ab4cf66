// load: weights from the disk onto the device, as a share of the slower of the two: what the disk gives, and what the
// queue takes. All three are measured in turns, on the same bytes; the disk's files may well come from the host's
// cache, for all of them alike. On a software adapter all three take the same cores, so that there the processor's time
// tells more: that of a load, which may be no more than disk's and upload's together. The first load also compiles,
// beside the reading.
//   npm run bench -- load PATH [--quant TYPE] [--adapter NAME]
import { open } from "node:fs/promises";
import { basename } from "node:path";
import { maxChunkBytes, openCheckpoint, type Checkpoint } from "../engine/formats/checkpoint.ts";
import { openConverter } from "../engine/formats/quantise/pool.ts";
import type { Gpu } from "../engine/gpu/adapter.ts";
import { createBuffer } from "../engine/gpu/tensor.ts";
import { parseConfig } from "../engine/models/config.ts";
import { Loader } from "../engine/models/loader.ts";
import { architectures } from "../engine/models/registry.ts";
import { loadModel } from "../engine/serve/device.ts";
import { originOf, saveRows } from "./results.ts";

const rounds = 5;
/** Reads, and uploads, under way at once. */
const lanes = 3;
const windowBytes = 32 << 20;

/** Prints the table and the line for bench/results. */
export async function load(gpu: Gpu, path: string, quant?: string): Promise<void> {
  const checkpoint = await openCheckpoint(path, quant);
  const bytes = checkpoint.totalBytes;
  const files = [...new Set(checkpoint.names.map((name) => checkpoint.entry(name).file))];
  const { wall: first } = await spending(async () => {
    const converter = openConverter();
    const options = { contextLength: 1024, ...(quant === undefined ? {} : { quant }) };
    (await loadModel(gpu, path, options, { converter })).destroy();
    await converter.close();
  });
  const spent = { disk: [] as Spent[], upload: [] as Spent[], load: [] as Spent[] };
  let hostBytes = 0;
  for (let round = 0; round < rounds; round += 1) {
    spent.disk.push(await spending(() => readAll(files)));
    spent.upload.push(await spending(() => uploadAll(gpu, bytes)));
    const filled = await fillOnce(gpu, checkpoint);
    spent.load.push(filled.spent);
    hostBytes = Math.max(hostBytes, filled.hostBytes);
  }
  await checkpoint.close();
  const rate = (name: keyof typeof spent) => bytes / 1e9 / median(spent[name].map(({ wall }) => wall));
  const processor = (name: keyof typeof spent) => median(spent[name].map((each) => each.processor));
  const rates = { diskGBs: rate("disk"), uploadGBs: rate("upload"), loadGBs: rate("load") };
  const share = rates.loadGBs / Math.min(rates.diskGBs, rates.uploadGBs);
  const parts = { disk: processor("disk"), upload: processor("upload"), load: processor("load") };
  const processorShare = (parts.disk + parts.upload) / parts.load;
  const line = (GBs: number, seconds: number) => ({
    "GB/s": GBs.toFixed(2),
    "processor, s": seconds.toFixed(2),
  });
  console.table({
    disk: line(rates.diskGBs, parts.disk),
    upload: line(rates.uploadGBs, parts.upload),
    load: {
      ...line(rates.loadGBs, parts.load),
      "of the slower": percent(share),
      "of both": percent(processorShare),
    },
  });
  console.log(
    `${(bytes / 1e9).toFixed(2)} GB; at most ${(hostBytes / 2 ** 20).toFixed(0)} MiB of host buffers; the first load, with kernels compiled beside it, ${first.toFixed(1)} s`,
  );
  const row = {
    model: basename(path),
    quant: quant ?? "as stored",
    bytes,
    hostBytes,
    firstLoadSeconds: first,
  };
  const times = { share, ...rates, processorSeconds: parts, processorShare };
  console.log(saveRows(originOf(gpu, "load"), [{ ...row, ...times }]));
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
async function fillOnce(gpu: Gpu, checkpoint: Checkpoint): Promise<{ spent: Spent; hostBytes: number }> {
  const converter = openConverter();
  const before = process.memoryUsage().arrayBuffers;
  let most = before;
  const onBytes = () => (most = Math.max(most, process.memoryUsage().arrayBuffers));
  const loader = new Loader(gpu, checkpoint, { converter, onBytes });
  const config = parseConfig(checkpoint.config, checkpoint.configFile);
  const spent = await spending(async () => {
    await architectures[config.modelType](loader, config);
    await loader.fill();
    await gpu.device.queue.onSubmittedWorkDone();
  });
  loader.dispose();
  await converter.close();
  return { spent, hostBytes: most - before };
}

async function inLanes(work: () => Promise<void>): Promise<void> {
  await Promise.all(Array.from({ length: lanes }, work));
}

/** Seconds by the clock, and of all threads' processor time. */
interface Spent {
  wall: number;
  processor: number;
}

async function spending(work: () => Promise<unknown>): Promise<Spent> {
  const [begun, before] = [performance.now(), process.cpuUsage()];
  await work();
  const { user, system } = process.cpuUsage(before);
  return { wall: (performance.now() - begun) / 1000, processor: (user + system) / 1e6 };
}

function percent(share: number): string {
  return `${(100 * share).toFixed(0)} %`;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!;
}
