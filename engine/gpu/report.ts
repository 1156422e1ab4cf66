// What a device is, as plain data: the same figures serve `neuron devices`, `neuron doctor`, /discovery and the logs.
import { subgroupsOf, type Subgroups } from "./subgroups.ts";

/** One adapter as the engine sees it. `limits` are bytes or counts, named as in WebGPU. */
export interface DeviceReport {
  index: number;
  name: string;
  vendor: string;
  driver: string;
  kind: "hardware" | "software";
  backend: string;
  /** Its PCI address, where its name is not enough to open it. */
  card?: string;
  /** MiB; undefined where neither the OS nor the configuration tells. */
  memoryTotalMb: number | undefined;
  features: string[];
  limits: Record<string, number>;
  wgslFeatures: string[];
  subgroups: Subgroups | undefined;
  subgroupMatrixConfigs: SubgroupMatrixConfig[];
}

/** A shape that the device multiplies in hardware: an M × K matrix by a K × N one. */
export interface SubgroupMatrixConfig {
  componentType: string;
  resultComponentType: string;
  M: number;
  N: number;
  K: number;
}

/** What an adapter offers, before a device is opened on it. */
export function reportAdapter(
  adapter: GPUAdapter,
  instance: GPU,
  entry: Pick<DeviceReport, "index" | "name" | "backend" | "card">,
  memoryTotalMb: number | undefined,
): DeviceReport {
  const { info, features } = adapter;
  const vendor = info.vendor || entry.name;
  return {
    ...entry,
    vendor,
    driver: info.description || "unknown",
    kind: info.isFallbackAdapter || entry.backend === "null" ? "software" : "hardware",
    memoryTotalMb,
    features: [...features].sort(),
    limits: plainLimits(adapter.limits),
    wgslFeatures: [...instance.wgslLanguageFeatures].sort(),
    subgroups: features.has("subgroups")
      ? subgroupsOf({
          ...{ vendor, backend: entry.backend, control: features.has("subgroup-size-control") },
          ...{ min: info.subgroupMinSize!, max: info.subgroupMaxSize! },
        })
      : undefined,
    subgroupMatrixConfigs: matrixConfigs(info),
  };
}

/** One line for the log. */
export function deviceLine(report: DeviceReport): string {
  const { index, name, driver, backend, kind, memoryTotalMb } = report;
  const memory = memoryTotalMb === undefined ? "" : `, ${(memoryTotalMb / 1024).toFixed(1)} GiB`;
  return `device ${index}: ${name} (${kind}, ${backend}, ${driver}${memory})`;
}

/** undefined for a real GPU. */
export function softwareWarning(report: DeviceReport): string | undefined {
  if (report.kind === "hardware" || report.backend === "null") return undefined;
  return `no GPU in use: ${report.name} runs the shaders on the CPU, slowly; "neuron doctor" says what a GPU here needs`;
}

function plainLimits(limits: GPUSupportedLimits): Record<string, number> {
  const plain: Record<string, number> = {};
  for (const name in limits) {
    const value = limits[name as keyof GPUSupportedLimits];
    if (typeof value === "number") plain[name] = value;
  }
  return plain;
}

/** The configs are native objects, which JSON and structured clone would empty. */
function matrixConfigs(info: GPUAdapterInfo): SubgroupMatrixConfig[] {
  const { subgroupMatrixConfigs } = info as { subgroupMatrixConfigs?: Iterable<SubgroupMatrixConfig> };
  return [...(subgroupMatrixConfigs ?? [])].map(({ componentType, resultComponentType, M, N, K }) => {
    return { componentType, resultComponentType, M, N, K };
  });
}
