// What a decoded token costs the host: the time of JS from a step's beginning to its last submit, how many objects it makes
// on the device, how often it writes there, and what it leaves to the collector. Measured on Dawn's null backend, which does nothing with the commands: on a device the same JS
// runs while the one before is computed.
//   npm run bench -- host [SHAPE …]
import type { Checkpoint } from "../engine/formats/checkpoint.ts";
import { openGpu, type Gpu } from "../engine/gpu/adapter.ts";
import { parseConfig } from "../engine/models/config.ts";
import { Loader } from "../engine/models/loader.ts";
import { architectures } from "../engine/models/registry.ts";
import { Sequence } from "../engine/serve/oneSequence.ts";
import { Runner } from "../engine/serve/runner.ts";
import { headersOf } from "../engine/serve/weigh.ts";
import { median } from "./median.ts";
import { originOf, saveRows } from "./results.ts";
import { shapeConfig, tensorsOf } from "./shapes.ts";

export interface HostTime {
  dispatches: number;
  /** Of JS a token: what steps took at least, and their median. */
  leastUs: number;
  medianUs: number;
  /** Buffers, bind groups, pipelines, modules and the like that `steps` tokens made. */
  objects: number;
  /** Writes into the device's buffers a token. */
  writes: number;
  /** Of V8's heap a token: promises, and what comes back from the device. */
  heapBytes: number;
}

/** What makes an object of the device that outlives the step. */
const makers = [
  "createBuffer",
  "createBindGroup",
  "createBindGroupLayout",
  "createComputePipeline",
  "createComputePipelineAsync",
  "createPipelineLayout",
  "createQuerySet",
  "createSampler",
  "createShaderModule",
  "createTexture",
] as const;

/** Of each shape with all of its layers and heads, at widths that the backend has memory for: prints a table, keeps the rows. */
export async function host(names: readonly string[]): Promise<void> {
  const rows = [];
  for (const name of names) {
    rows.push({ model: name, tokens: 500, ...(await hostTime(narrow(shapeConfig(name)), 500)) });
  }
  console.table(
    rows.map(({ leastUs, medianUs, heapBytes, ...row }) => ({
      ...row,
      "heap, bytes a token": heapBytes.toFixed(0),
      "µs a token, least": leastUs.toFixed(0),
      median: medianUs.toFixed(0),
    })),
  );
  const gpu = await openGpu({ backend: "null" }, () => undefined);
  console.log(saveRows(originOf(gpu, "host"), rows));
  gpu.destroy();
}

/** A shape of the same layers, dispatches and heads: what the host does has nothing to do with widths. */
export function narrow(configJson: Record<string, unknown>): Record<string, unknown> {
  return { ...configJson, hidden_size: 64, intermediate_size: 96, vocab_size: 512 };
}

/** Decodes `steps` tokens of a model with this config.json, whose weights are never written. */
export async function hostTime(configJson: Record<string, unknown>, steps: number): Promise<HostTime> {
  const gpu = await openGpu({ backend: "null" }, () => undefined);
  try {
    const config = parseConfig(configJson, "config.json");
    const loader = new Loader(gpu, headersOf(emptyCheckpoint(configJson)));
    const network = await architectures[config.modelType](loader, config);
    const options = { contextLength: steps + 16, slots: 1, chunk: 16, flopsPerSubmit: Infinity };
    const runner = await Runner.create(gpu, network, config, options);
    const times: number[] = [];
    const heap: number[] = [];
    const sequence = new Sequence(runner, { chunk: 16 });
    const step = () => sequence.feed(undefined, "token");
    await sequence.prompt([1, 2, 3], "token");
    for (let i = 0; i < 8; i += 1) await step();
    const [objects, writes] = await countMade(gpu, async () => {
      for (let i = 0; i < steps; i += 1) {
        const before = process.memoryUsage().heapUsed;
        times.push(await timed(gpu, step));
        heap.push(process.memoryUsage().heapUsed - before);
      }
    });
    const [leastUs, medianUs] = [Math.min(...times) * 1000, median(times) * 1000];
    const counts = { objects, writes: writes / steps, heapBytes: median(heap) };
    return { dispatches: runner.decodeKernels.length, leastUs, medianUs, ...counts };
  } finally {
    gpu.destroy();
  }
}

/** Milliseconds until the step's last command was submitted: what follows is waiting. */
async function timed(gpu: Gpu, step: () => Promise<unknown>): Promise<number> {
  const { queue } = gpu.device;
  const own = queue.submit;
  const begun = performance.now();
  let submitted = begun;
  queue.submit = (commands) => {
    own.call(queue, commands);
    submitted = performance.now();
  };
  try {
    await step();
  } finally {
    queue.submit = own;
  }
  return submitted - begun;
}

/** How many objects the device was asked for meanwhile, and how many writes. */
async function countMade(
  { device }: Gpu,
  work: () => Promise<unknown>,
): Promise<[made: number, writes: number]> {
  let [made, writes] = [0, 0];
  const { queue } = device;
  const write = queue.writeBuffer;
  queue.writeBuffer = (...rest) => {
    writes += 1;
    write.apply(queue, rest);
  };
  const target = device as unknown as Record<string, (...rest: unknown[]) => unknown>;
  const own = makers.map((name) => [name, target[name]!] as const);
  for (const [name, make] of own) {
    target[name] = (...rest) => {
      made += 1;
      return make.apply(device, rest);
    };
  }
  try {
    await work();
  } finally {
    for (const [name, make] of own) target[name] = make;
    queue.writeBuffer = write;
  }
  return [made, writes];
}

/** A checkpoint that has the tensors of the config, empty. */
function emptyCheckpoint(configJson: Record<string, unknown>): Checkpoint {
  const entries = new Map(
    tensorsOf(configJson).map(({ name, dtype, shape }) => [name, { name, dtype, shape, bytes: 0 }]),
  );
  const entry = (name: string) => entries.get(name)!;
  const known = { quant: undefined, has: (name: string) => entries.has(name), entry, expectTensor: entry };
  return known as unknown as Checkpoint;
}
