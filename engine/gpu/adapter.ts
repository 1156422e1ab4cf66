// Finding a device and opening it. Which drivers the Vulkan loader sees is decided by environment variables, and only
// the main thread's process.env is the environment that native code reads. So: prepareAdapter in the main thread
// decides, loads and sets; openGpu in any thread opens what was decided.
import { isMainThread } from "node:worker_threads";
import { EngineError } from "../errors.ts";
import { selectDrivers } from "./drivers.ts";
import { askDawn } from "./instance.ts";
import { adapterFlags, isSwiftshader, listAdapters, withDrivers } from "./list.ts";
import type { AdapterEntry } from "./list.ts";
import { ensureLoader } from "./loader.ts";
import { pciGpus } from "./host.ts";
import { deviceMemory } from "./memory.ts";
import { provenSubgroups } from "./probe.ts";
import { deviceLine, reportAdapter, softwareWarning } from "./report.ts";
import type { DeviceReport } from "./report.ts";
import { choose, listed } from "./select.ts";
import { shippedFor } from "./shipped.ts";
import { findSwiftshader, driverFile, swiftshaderPackage, unpackSwiftshader } from "./software.ts";
import type { Subgroups } from "./subgroups.ts";
import { Tuning, type Answers, type TuningOptions } from "./tuning.ts";
import { TuningFile } from "./tuningFile.ts";
import { canSelect, selectCard, withCards } from "./twins.ts";

export interface GpuOptions {
  /** Part of an adapter's or its driver's name, whatever its case; also "lavapipe", "swiftshader", "null". */
  adapter?: string | undefined;
  /** Index in the list that `neuron devices` prints. */
  device?: number | undefined;
  /** The null backend compiles everything and computes nothing. */
  backend?: "null" | undefined;
  /**
   * Dawn holds every index of a shader to its array, and guards its divisions. Default: not on a card, whose compilers make
   * less of such shaders; on software, for which kernels were written with them.
   */
  shaderChecks?: boolean | undefined;
}

/** The adapter to open, as plain data that can cross to a worker. */
export interface AdapterChoice {
  index: number;
  name: string;
  backend: string;
  flags: string[];
  shaderChecks: boolean;
  /** AdapterEntry.card */
  card?: string;
}

/** The limits that the engine plans with: bytes or counts, the adapter's own maximum. */
export type GpuLimits = Record<Exclude<keyof GPUSupportedLimits, "__brand">, number>;

/** An open device and what it can do. */
export interface Gpu {
  readonly device: GPUDevice;
  readonly report: DeviceReport;
  /** Optional features, all of them requested where the adapter has them. */
  readonly has: { f16: boolean; subgroups: boolean; timestamps: boolean; subgroupMatrix: boolean };
  /** Lanes of subgroups; 1 to 1 where there are none. */
  readonly subgroupSize: Subgroups;
  readonly limits: GpuLimits;
  /** Which of several ways ops take. */
  readonly tuning: Tuning;
  readonly lost: Promise<GPUDeviceLostInfo>;
  destroy(): void;
}

const wantedFeatures = [
  "shader-f16",
  "subgroups",
  "subgroup-size-control",
  "timestamp-query",
  "chromium-experimental-subgroup-matrix",
];

const nullAdapter: AdapterChoice = {
  ...{ index: 0, name: "null", backend: "null", flags: ["backend=null"] },
  shaderChecks: true,
};

/**
 * Decides which adapter to open and makes the process ready for it: hardware first, else lavapipe, else SwiftShader.
 * Main thread only, and one device at a time: open it before preparing the next. Throws no_adapter.
 */
export async function prepareAdapter(options: GpuOptions = {}): Promise<AdapterChoice> {
  if (options.backend === "null" || options.adapter === "null") return nullAdapter;
  const found = await systemAdapters();
  const index = choose(found, options) ?? choose(options.adapter ? await withDrivers(found) : [], options);
  if (index !== undefined) return choice(found, index, options);
  const all = [...found, ...(await swiftshaderAdapters(found))]; // leaves SwiftShader's driver selected
  const fallback = choose(all, options);
  if (fallback === undefined) throw noAdapter(all, options);
  return choice(all, fallback, options);
}

/** Every adapter that prepareAdapter can choose, in the order of its indices. Main thread only. */
export async function allAdapters(): Promise<AdapterEntry[]> {
  const found = await systemAdapters();
  return [...found, ...(await swiftshaderAdapters(found))];
}

/**
 * Opens the device, with every feature we use and the adapter's own limits. Without `tuning` ops go by
 * their guesses: nothing is measured, and nothing that was measured is used. Throws no_adapter.
 */
export async function openGpu(
  options: GpuOptions | AdapterChoice = {},
  log: (line: string) => void = console.error,
  tuning?: TuningOptions,
): Promise<Gpu> {
  const chosen = "flags" in options ? options : await prepareAdapter(options);
  const { adapter, report } = await requestAdapter(chosen);
  const requiredFeatures = wantedFeatures.filter((f) => adapter.features.has(f)) as GPUFeatureName[];
  const device = await adapter
    .requestDevice({ requiredFeatures, requiredLimits: report.limits })
    .catch((error: Error) => {
      throw new EngineError(
        "no_adapter",
        `${report.name} opens no device: ${error.message}`,
        {},
        { cause: error },
      );
    });
  if (chosen.backend !== "null") log(deviceLine(report));
  const warning = softwareWarning(report);
  if (warning) log(warning);
  const file = tuning && (() => TuningFile.of(report));
  const subgroups = await provenSubgroups({ device, ...capabilitiesOf(report) }, log, file);
  const proven = { ...report, subgroups: report.subgroups && subgroups };
  return {
    ...{ device, ...capabilitiesOf(proven), tuning: tuningFor(proven, tuning) },
    ...{ lost: device.lost, destroy: () => device.destroy() },
  };
}

/** What an open device can do, for those who only know its report. */
export function capabilitiesOf(
  report: DeviceReport,
): Pick<Gpu, "report" | "has" | "subgroupSize" | "limits"> {
  const has = (feature: string) => report.features.includes(feature);
  return {
    report,
    has: {
      f16: has("shader-f16"),
      subgroups: has("subgroups"),
      timestamps: has("timestamp-query"),
      subgroupMatrix: has("chromium-experimental-subgroup-matrix"),
    },
    subgroupSize: report.subgroups ?? { min: 1, max: 1, width: undefined },
    limits: report.limits as GpuLimits,
  };
}

/** The adapter that was chosen and all that it tells; no device is opened. Throws no_adapter. */
export async function requestAdapter(
  chosen: AdapterChoice,
): Promise<{ adapter: GPUAdapter; report: DeviceReport }> {
  const { instance, adapter } = await askDawn(chosen.flags, chosen.shaderChecks);
  if (!adapter) throw new EngineError("no_adapter", `${chosen.name} has gone: its driver no longer answers`);
  const { index, name, backend, card } = chosen;
  const report = reportAdapter(adapter, instance, { index, name, backend, ...(card && { card }) }, undefined);
  const memory = backend === "null" ? undefined : await deviceMemory(report);
  return { adapter, report: { ...report, memoryTotalMb: memory?.totalMb } };
}

function tuningFor(report: DeviceReport, options: TuningOptions | undefined): Tuning {
  if (!options) return new Tuning();
  const shipped = shippedFor(report);
  const autotune = options.autotune ?? report.kind === "hardware";
  if (!autotune || options.strict) return new Tuning({ ...options, autotune: false }, { shipped });
  const file = TuningFile.of(report);
  const keep = {
    save: (answers: Answers) => void file.add(answers),
    attempt: (attempts: readonly string[]) => file.attempt(attempts),
  };
  return new Tuning({ autotune }, { measured: file.read(), deadly: file.deadly(), shipped, ...keep });
}

/** The environment is made ready for it. */
function choice(
  entries: readonly AdapterEntry[],
  index: number,
  { shaderChecks }: GpuOptions,
): AdapterChoice {
  const { name, backend, kind, card } = entries[index]!;
  selectCard(card);
  return {
    ...{ index, name, backend, flags: adapterFlags(entries[index]!), ...(card && { card }) },
    shaderChecks: checksShaders(kind, shaderChecks),
  };
}

/** GpuOptions.shaderChecks */
export function checksShaders(kind: AdapterEntry["kind"], said: boolean | undefined): boolean {
  return said ?? kind === "software";
}

/** What the system's own drivers offer. */
async function systemAdapters(): Promise<AdapterEntry[]> {
  if (!isMainThread) throw new Error("prepareAdapter sets the environment, so it belongs to the main thread");
  selectDrivers(undefined);
  selectCard(undefined);
  if (ensureLoader() === "missing") return [];
  const entries = await listAdapters();
  return process.platform === "linux" && canSelect() ? withCards(entries, await pciGpus()) : entries;
}

/** What the npm package's driver offers, unless the system has that driver too. Leaves it selected. */
async function swiftshaderAdapters(found: readonly AdapterEntry[]): Promise<AdapterEntry[]> {
  const swiftshader = findSwiftshader();
  if (!swiftshader || ensureLoader() === "missing" || found.some((e) => isSwiftshader(e.name))) return [];
  selectDrivers(driverFile(unpackSwiftshader(swiftshader)));
  return listAdapters();
}

function noAdapter(all: readonly AdapterEntry[], { adapter, device }: GpuOptions): EngineError {
  const wanted = device !== undefined ? `device ${device}` : adapter ? `adapter "${adapter}"` : "GPU";
  const hint =
    all.length === 0 && process.platform === "linux" && process.arch === "x64" && !findSwiftshader()
      ? `; to run on the CPU instead: npm install ${swiftshaderPackage}`
      : "";
  return new EngineError(
    "no_adapter",
    `no ${wanted} found (available: ${listed(all)})${hint}; "neuron doctor" says what is missing here`,
  );
}
