// How long one dispatch takes. A card notes itself when it began and ended; elsewhere the clock runs from before its
// submit until it is done, and what a submit of nothing takes is taken off.
import type { Gpu } from "../engine/gpu/adapter.ts";
import { readBytes, submitAlone } from "../engine/gpu/readback.ts";
import { free, permanent } from "../engine/gpu/tensor.ts";
import { clockFor } from "./clock.ts";
import { median } from "./median.ts";
import { record } from "./walls.ts";

export interface Watch {
  /** For the pass whose time is taken, if the device takes it. */
  readonly stamps?: GPUComputePassTimestampWrites;
  /** Milliseconds of a submit of one dispatch, which `work` waits for. */
  time(work: () => Promise<unknown>): Promise<number>;
  destroy(): void;
}

export async function watchFor(gpu: Gpu): Promise<Watch> {
  return gpu.has.timestamps && gpu.report.kind === "hardware" ? stampsOf(gpu) : await clockWatch(gpu);
}

/** The device's own notes, in nanoseconds. */
export function stampsOf(gpu: Gpu): Watch {
  const { device } = gpu;
  const querySet = device.createQuerySet({ label: "stamps", type: "timestamp", count: 2 });
  const usage = GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC;
  const notes = device.createBuffer({ label: "stamps", size: 16, usage });
  return {
    stamps: { querySet, beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 1 },
    async time(work) {
      await work();
      submitAlone(gpu, (encoder) => encoder.resolveQuerySet(querySet, 0, 2, notes, 0));
      const [begun, ended] = new BigUint64Array(await readBytes(gpu, notes, 16));
      return Number(ended! - begun!) / 1e6;
    },
    destroy() {
      querySet.destroy();
      notes.destroy();
    },
  };
}

async function clockWatch(gpu: Gpu): Promise<Watch> {
  const clock = clockFor(gpu);
  const taken = async (work: () => Promise<unknown>) => {
    const begun = clock.now();
    await work();
    return clock.now() - begun;
  };
  const submit = await submitMs(gpu, taken);
  return {
    time: async (work) => Math.max(0, (await taken(work)) - submit),
    destroy: () => undefined,
  };
}

/** What submitting one dispatch of nothing takes. */
async function submitMs(gpu: Gpu, taken: Watch["time"]): Promise<number> {
  const y = permanent(gpu, "count", [4], undefined, "u32");
  const plan = await record(gpu, 1, 1, (pass) => {
    pass.dispatch("bench_nothing", [y], { groups: [1] });
    return undefined;
  });
  const work = async () => {
    plan.submit(1);
    await gpu.device.queue.onSubmittedWorkDone();
  };
  await work();
  const times: number[] = [];
  for (let round = 0; round < 50; round += 1) times.push(await taken(work));
  plan.destroy();
  free(y);
  return median(times);
}
