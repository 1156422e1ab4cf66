// What it takes on these devices to meet, and to read: measured, since it depends on buses and drivers as much as on the
// devices.
import type { Gpu } from "../gpu/adapter.ts";
import type { Exchange } from "../gpu/pass.ts";
import { Sums } from "../gpu/sums.ts";
import { createBuffer, free, permanent } from "../gpu/tensor.ts";

const rounds = 24;
/** The first of them find caches cold and threads asleep. */
const unmeasured = 8;

/** A sum of one token's hidden state, from device to device, ms: all ranks do it at once. Errors: the exchange's. */
export async function rehearseSum(gpu: Gpu, exchange: Exchange, hidden: number): Promise<number> {
  const part = permanent(gpu, "rehearsal", [1, hidden]);
  const sums = new Sums(gpu, 1, exchange, [{ after: 0, tensor: part }]);
  const { device } = gpu;
  const times: number[] = [];
  try {
    for (let round = 0; round < rounds; round += 1) {
      const begun = performance.now();
      await sums.compute(0, 1, (copy) => {
        const encoder = device.createCommandEncoder();
        copy(encoder);
        device.queue.submit([encoder.finish()]);
      });
      times.push(performance.now() - begun);
    }
    await device.queue.onSubmittedWorkDone();
  } finally {
    sums.destroy();
    free(part);
  }
  return median(times.slice(unmeasured));
}

/** Bytes a second that the device moves in its own memory: half are read, half written, at what reading alone reaches. */
export async function rehearseReading(gpu: Gpu): Promise<number> {
  const { device, report } = gpu;
  const bytes = report.kind === "software" ? 2 ** 23 : 2 ** 26;
  const [from, to] = [createBuffer(gpu, "rehearsal", bytes), createBuffer(gpu, "rehearsal", bytes)];
  const copies = 4;
  const times: number[] = [];
  for (let round = 0; round < 6; round += 1) {
    const begun = performance.now();
    const encoder = device.createCommandEncoder();
    for (let i = 0; i < copies; i += 1) encoder.copyBufferToBuffer(from, 0, to, 0, bytes);
    device.queue.submit([encoder.finish()]);
    await device.queue.onSubmittedWorkDone();
    times.push(performance.now() - begun);
  }
  from.destroy();
  to.destroy();
  return (2 * copies * bytes) / (median(times.slice(1)) / 1000);
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
}
