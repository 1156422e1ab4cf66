// load: weights from the disk onto the device, as a share of the slower of the two: what the disk gives, and what the
// device takes. All are measured in turns, on the same bytes; the disk's files may well come from the host's cache, for
// all of them alike, and buffers are as large as the load's, since an allocator has used memory for one size and none for
// another, which it then gets and clears. What the device takes is measured into what it keeps weights in: buffers, or on
// some software adapters textures (gpu/tiles.ts), into which bytes go that lie as they are to lie, in the fastest way known.
// What buffers take is told as well, since a load in tiles might have been one into buffers. On a software adapter all of
// these take the same cores, so that there the processor's time tells more: that of a load, which may be no more than
// disk's and upload's together. Giving memory back is in none of the times. The first load also compiles, beside the
// reading.
//   npm run bench -- load [MODEL …] [--quant TYPE] [--adapter NAME]
import { open } from "node:fs/promises";
import { basename } from "node:path";
import { maxChunkBytes, openCheckpoint, type Checkpoint } from "../engine/formats/checkpoint.ts";
import { openConverter } from "../engine/formats/quantise/pool.ts";
import type { Gpu } from "../engine/gpu/adapter.ts";
import { submitAlone } from "../engine/gpu/readback.ts";
import { freeStages, memoryOf, sendStage, takeStage } from "../engine/gpu/stages.ts";
import { createBuffer } from "../engine/gpu/tensor.ts";
import { createTiles, likesTiles, texels, tileLayout } from "../engine/gpu/tiles.ts";
import { parseConfig } from "../engine/models/config.ts";
import { Loader } from "../engine/models/loader.ts";
import { architectures } from "../engine/models/registry.ts";
import { countingGpu } from "../engine/serve/counting.ts";
import { loadModel } from "../engine/serve/device.ts";
import { originOf, saveRows } from "./results.ts";
import { median } from "./median.ts";

const rounds = 5;
/** Reads, and uploads, under way at once. */
const lanes = 3;
/** Between two waits for the queue; and of a texture. */
const windowBytes = 32 << 20;

/** Prints the table and the line for bench/results. */
export async function load(gpu: Gpu, path: string, quant?: string): Promise<void> {
  const checkpoint = await openCheckpoint(path, quant);
  const bytes = checkpoint.totalBytes;
  const files = [...new Set(checkpoint.names.map((name) => checkpoint.entry(name).file))];
  const { wall: first } = await spending(() => firstLoad(gpu, path, quant));
  const buffers = await bufferSizes(gpu, checkpoint);
  const textures = windows(bytes);
  const spent = { disk: [] as Spent[], buffers: [] as Spent[], tiles: [] as Spent[], load: [] as Spent[] };
  let hostBytes = 0;
  for (let round = 0; round < rounds; round += 1) {
    spent.disk.push(await spending(() => readAll(files)));
    spent.buffers.push(await uploadAll(gpu, buffers, toBuffer));
    if (likesTiles(gpu)) spent.tiles.push(await uploadAll(gpu, textures, toTexture));
    const filled = await fillOnce(gpu, checkpoint);
    spent.load.push(filled.spent);
    hostBytes = Math.max(hostBytes, filled.hostBytes);
  }
  await checkpoint.close();
  const rate = (name: keyof typeof spent) => bytes / 1e9 / median(spent[name].map(({ wall }) => wall));
  const processor = (name: keyof typeof spent) => median(spent[name].map((each) => each.processor));
  const upload = likesTiles(gpu) ? "tiles" : "buffers";
  const rates = { diskGBs: rate("disk"), uploadGBs: rate(upload), loadGBs: rate("load") };
  const parts = { disk: processor("disk"), upload: processor(upload), load: processor("load") };
  const shares = (to: "tiles" | "buffers") => ({
    ofTheSlower: rates.loadGBs / Math.min(rates.diskGBs, rate(to)),
    ofBoth: (parts.disk + processor(to)) / parts.load,
  });
  const line = (name: keyof typeof spent) => ({
    "GB/s": rate(name).toFixed(2),
    "processor, s": processor(name).toFixed(2),
  });
  const ofLoad = (to: "tiles" | "buffers") => ({
    ...line(to),
    "load, of the slower": percent(shares(to).ofTheSlower),
    "load, of both": percent(shares(to).ofBoth),
  });
  console.table({
    disk: line("disk"),
    "upload to buffers": ofLoad("buffers"),
    ...(upload === "tiles" ? { "upload to textures": ofLoad("tiles") } : {}),
    load: line("load"),
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
  const { ofTheSlower: share, ofBoth: processorShare } = shares(upload);
  const times = { share, ...rates, processorSeconds: parts, processorShare };
  console.log(saveRows(originOf(gpu, "load"), [{ ...row, ...times }]));
}

async function firstLoad(gpu: Gpu, path: string, quant: string | undefined): Promise<void> {
  const converter = openConverter();
  const options = { contextLength: 1024, ...(quant === undefined ? {} : { quant }) };
  (await loadModel(gpu, path, options, { converter })).destroy();
  await converter.close();
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

/** Makes a place of so many bytes, which `write` fills from a chunk. */
type Destination = (gpu: Gpu, bytes: number) => { place: GPUBuffer | GPUTexture; write: Write };
/** Hands bytes `at` … to the queue. */
type Write = (chunk: Uint8Array<ArrayBuffer>, at: number) => void;

const toBuffer: Destination = (gpu, bytes) => {
  const place = createBuffer(gpu, "upload", bytes);
  return { place, write: (chunk, at) => gpu.device.queue.writeBuffer(place, at, chunk) };
};

/** As tiles are that take their bytes at once. */
const toTexture: Destination = (gpu, bytes) => {
  const K = texels * 4;
  const place = createTiles(gpu, "upload", tileLayout("f32", K, Math.floor(bytes / (4 * K))));
  const stage = takeStage(gpu, bytes);
  const write: Write = (chunk, at) => {
    memoryOf(stage, at, chunk.length)!.set(new Uint32Array(chunk.buffer, 0, chunk.length / 4));
    if (at + chunk.length < bytes) return;
    sendStage(gpu, stage, (encoder) =>
      encoder.copyBufferToTexture({ buffer: stage, bytesPerRow: 4 * K }, { texture: place }, [
        place.width,
        place.height,
      ]),
    );
  };
  return { place, write };
};

/** Of all that a load keeps on the device; on one that keeps tiles, of the buffers that would have their bytes. */
async function bufferSizes(gpu: Gpu, checkpoint: Checkpoint): Promise<readonly number[]> {
  const { gpu: counting, sizes } = countingGpu(gpu);
  const config = parseConfig(checkpoint.config, checkpoint.configFile);
  await architectures[config.modelType](new Loader(counting, checkpoint), config);
  return sizes;
}

/** The same bytes in whole chunks. */
function windows(bytes: number): number[] {
  const sizes: number[] = [];
  for (let left = bytes; left > 0; left -= windowBytes)
    sizes.push(Math.ceil(Math.min(windowBytes, left) / maxChunkBytes) * maxChunkBytes);
  return sizes;
}

/** To places of the device of these sizes, each byte written once, as the loader hands them over. */
async function uploadAll(gpu: Gpu, sizes: readonly number[], make: Destination): Promise<Spent> {
  const chunk = new Uint8Array(maxChunkBytes).fill(1);
  const places: (GPUBuffer | GPUTexture)[] = [];
  const spent = await spending(async () => {
    let before: Promise<unknown> = Promise.resolve();
    let underWay = 0;
    for (const size of sizes) {
      const { place, write } = make(gpu, size);
      places.push(place);
      for (let at = 0; at < size; at += chunk.length) write(chunk.subarray(0, size - at), at);
      underWay += size;
      if (underWay < windowBytes) continue;
      await before;
      before = gpu.device.queue.onSubmittedWorkDone();
      underWay = 0;
    }
    await gpu.device.queue.onSubmittedWorkDone();
  });
  for (const place of places) place.destroy();
  freeStages(gpu);
  await givenBack(gpu);
  return spent;
}

/** Dawn gives memory back when what was submitted later is done. */
async function givenBack(gpu: Gpu): Promise<void> {
  submitAlone(gpu, () => undefined);
  await gpu.device.queue.onSubmittedWorkDone();
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
  await givenBack(gpu);
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
