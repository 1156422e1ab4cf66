import { create, globals } from "webgpu";
import { EngineError } from "../errors.ts";
import type { DeviceReport } from "./report.ts";

Object.assign(globalThis, globals); // GPUBufferUsage and its kin

export interface GpuOptions {
  /** Case-insensitive part of an adapter's or driver's name; also "lavapipe", "swiftshader", "null". */
  adapter?: string;
  /** Index in the list that `neuron devices` prints. */
  device?: number;
  /** The null backend compiles everything and computes nothing. */
  backend?: "null";
}

/** The limits that the engine plans with: bytes or counts, the adapter's own maximum. */
export type GpuLimits = Record<Exclude<keyof GPUSupportedLimits, "__brand">, number>;

/** An open device and what it can do. */
export interface Gpu {
  readonly device: GPUDevice;
  readonly report: DeviceReport;
  /** Optional features, all of them requested where the adapter has them. */
  readonly has: { f16: boolean; subgroups: boolean; timestamps: boolean; subgroupMatrix: boolean };
  /** Lanes a subgroup may have; 1 to 1 where there are no subgroups. */
  readonly subgroupSize: { min: number; max: number };
  readonly limits: GpuLimits;
  readonly lost: Promise<GPUDeviceLostInfo>;
  destroy(): void;
}

const wanted = [
  "shader-f16",
  "subgroups",
  "timestamp-query",
  "subgroup-size-control",
  "chromium-experimental-subgroup-matrix",
];

/** Opens the device. Throws no_adapter. */
export async function openGpu(options: GpuOptions = {}): Promise<Gpu> {
  const flags = ["enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia"];
  const isNull = options.backend === "null" || options.adapter === "null";
  if (isNull) flags.push("backend=null");
  const instance = create(flags);
  const adapter = await instance.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) throw new EngineError("no_adapter", "no WebGPU adapter found");
  const requiredFeatures = wanted.filter((f) => adapter.features.has(f)) as GPUFeatureName[];
  const limits: Record<string, number> = {};
  for (const key in adapter.limits) limits[key] = adapter.limits[key as keyof GPUSupportedLimits] as number;
  const device = await adapter.requestDevice({ requiredFeatures, requiredLimits: limits });
  const info = adapter.info;
  const has = (f: string) => requiredFeatures.includes(f as GPUFeatureName);
  const subgroupSize = has("subgroups")
    ? { min: info.subgroupMinSize!, max: info.subgroupMaxSize! }
    : { min: 1, max: 1 };
  return {
    device,
    report: {
      index: 0,
      name: info.device,
      vendor: info.vendor,
      driver: info.description,
      kind: info.isFallbackAdapter ? "software" : "hardware",
      backend: isNull ? "null" : "vulkan",
      memoryTotalMb: undefined,
      features: requiredFeatures,
      limits,
      wgslFeatures: [...instance.wgslLanguageFeatures],
      subgroups: has("subgroups") ? subgroupSize : undefined,
      subgroupMatrixConfigs: [],
    },
    has: {
      f16: has("shader-f16"),
      subgroups: has("subgroups"),
      timestamps: has("timestamp-query"),
      subgroupMatrix: has("chromium-experimental-subgroup-matrix"),
    },
    subgroupSize,
    limits: limits as GpuLimits,
    lost: device.lost,
    destroy: () => {
      void instance; // referenced for as long as the device
      device.destroy();
    },
  };
}
