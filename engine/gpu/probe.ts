// Whether the subgroups of an open device are what kernels take them for: of one width, and lane after lane of the
// workgroup. No API promises the latter, and a driver may be wrong in the former.
import type { Gpu } from "./adapter.ts";
import { kernelsOf } from "./kernel.ts";
import { readRanges, type Submit } from "./readback.ts";
import { pinOf, type Subgroups } from "./subgroups.ts";
import type { TuningFile } from "./tuningFile.ts";

type Probed = Pick<Gpu, "device" | "has" | "limits" | "report" | "subgroupSize">;

const groups = 16; // workgroups of each size

/**
 * Those of a device that has just been opened, tried: without a width if it does not hold, and then the log says so. Where
 * kernels are held to a width, `file` keeps what is tried, and what a device did not survive twice is not tried again.
 */
export async function provenSubgroups(
  gpu: Probed,
  log: (line: string) => void,
  file?: () => Pick<TuningFile, "deadly" | "attempt">,
): Promise<Subgroups> {
  const { report, subgroupSize } = gpu;
  const { width } = subgroupSize;
  if (width === undefined || report.backend === "null") return subgroupSize; // which computes nothing
  const attempt = `subgroups of ${width}`;
  const known = pinOf(gpu) === undefined ? undefined : file?.();
  const deadly = known?.deadly().has(attempt) ?? false;
  if (!deadly) known?.attempt([attempt]);
  const hold = deadly ? undefined : await subgroupsHold(gpu, width).catch(() => undefined);
  if (hold !== undefined) known?.attempt([]);
  if (hold) return subgroupSize;
  log(`${report.name}: subgroups of ${width} lanes fail when they are tried; its kernels do without`);
  return { ...subgroupSize, width: undefined };
}

/**
 * Whether they are of `WIDTH` lanes and in order, in workgroups of one, of four and of many (shaders/probe_subgroups.wgsl);
 * not where that does not compile. Errors: the device is gone.
 */
export async function subgroupsHold(gpu: Probed, WIDTH: number): Promise<boolean> {
  const { device, limits } = gpu;
  const most = Math.min(limits.maxComputeInvocationsPerWorkgroup, limits.maxComputeWorkgroupSizeX);
  const sizes = [WIDTH, 4 * WIDTH, 256].filter((size, i, all) => size <= most && all.indexOf(size) === i);
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC;
  const compiling = sizes.map((LANES) =>
    kernelsOf(gpu).pipeline({ name: "probe_subgroups", parts: [], constants: { LANES, WIDTH } }),
  );
  const pipelines = await Promise.all(compiling).catch(() => undefined);
  if (!pipelines) return false;
  const right = device.createBuffer({ label: "lanes in place", size: 4, usage });
  try {
    const submit: Submit = (last) => {
      const encoder = device.createCommandEncoder();
      for (const pipeline of pipelines) run(device, encoder, pipeline, right);
      last(encoder);
      device.queue.submit([encoder.finish()]);
    };
    const [count] = await readRanges(gpu, [{ source: right, offset: 0, bytes: 4 }], submit);
    return new Uint32Array(count!)[0] === groups * sizes.reduce((sum, size) => sum + size, 0);
  } finally {
    right.destroy();
  }
}

function run(
  device: GPUDevice,
  encoder: GPUCommandEncoder,
  pipeline: GPUComputePipeline,
  buffer: GPUBuffer,
): void {
  const pass = encoder.beginComputePass();
  const entries = [{ binding: 0, resource: { buffer } }];
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
  pass.dispatchWorkgroups(groups);
  pass.end();
}
