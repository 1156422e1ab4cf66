// `neuron doctor`: what the GPUs here offer, what the host lacks and how to get it. `neuron devices`: the list alone.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { prepareAdapter, primeOf, survey } from "../engine/index.ts";
import type { Advice, DeviceFailure, DeviceReport, HostFacts, PlainError } from "../engine/index.ts";
import { toPlainError } from "../engine/errors.ts";
import { packageRoot } from "../engine/root.ts";
import { table } from "../kit/table.ts";
import { colour } from "../kit/colour.ts";

export interface DoctorReport {
  versions: { neuron: string; node: string; dawn: string };
  host: HostFacts;
  /** By index, which is what --device takes. */
  devices: (DeviceReport | DeviceFailure)[];
  /** What neuron would open with the same options. */
  chosen: { index: number; name: string } | { error: PlainError };
  advice: Advice[];
}

export interface DeviceOptions {
  adapter?: string | undefined;
  device?: number | undefined;
}

/** Examines the host; changes nothing but for unpacking SwiftShader into the cache folder. Main thread only. */
export async function doctor(options: DeviceOptions = {}): Promise<DoctorReport> {
  const { dawn, host, devices, advice } = await survey();
  const versions = { neuron: ownVersion(), node: process.version, dawn };
  return { versions, host, devices, chosen: await choose(options), advice };
}

/** The devices by index. Main thread only. */
export async function listDevices(): Promise<DoctorReport["devices"]> {
  return (await survey()).devices;
}

/** The report for people: devices, host, advice. */
export function formatDoctor(report: DoctorReport): string {
  const { versions, host, devices, chosen, advice } = report;
  const title = `neuron ${versions.neuron} · Node ${versions.node} · Dawn (npm webgpu ${versions.dawn}) · ${host.machine}`;
  const choice = "error" in chosen ? chosen.error.message : `device ${chosen.index}, ${chosen.name}`;
  return [
    colour.bold(title),
    `neuron would use: ${choice}`,
    ...devices.flatMap((d) => ["", colour.bold(`device ${d.index}: ${d.name}`), ...deviceLines(d)]),
    "",
    colour.bold("host"),
    ...rows(hostRows(host)),
    "",
    colour.bold("advice"),
    ...(advice.length === 0 ? ["  nothing is missing"] : advice.flatMap(adviceLines)),
    "",
  ].join("\n");
}

/** A table: index, kind, name, memory, subgroup sizes, optional features. */
export function formatDevices(devices: DoctorReport["devices"]): string {
  if (devices.length === 0) return 'no devices; "neuron doctor" says what is missing here\n';
  const head = ["device", "kind", "name", "memory", "subgroups", "f16", "matrices", "opened by", "driver"];
  const body = devices.map(tableRow);
  const [first, ...lines] = table(head, body);
  return [colour.bold(first), ...lines, ""].join("\n");
}

async function choose(options: DeviceOptions): Promise<DoctorReport["chosen"]> {
  try {
    const { index, name } = await prepareAdapter(options);
    return { index, name };
  } catch (error) {
    return { error: toPlainError(error) };
  }
}

function ownVersion(): string {
  return (JSON.parse(readFileSync(join(packageRoot, "package.json"), "utf8")) as { version: string }).version;
}

function isReport(device: DeviceReport | DeviceFailure): device is DeviceReport {
  return !("error" in device);
}

function tableRow(d: DeviceReport | DeviceFailure): string[] {
  if (!isReport(d)) return [String(d.index), "broken", d.name, "-", "-", "-", "-", "-", d.error.message];
  const f16 = d.features.includes("shader-f16") ? "yes" : "no";
  const matrices = String(d.subgroupMatrixConfigs.length || "no");
  return [String(d.index), d.kind, d.name, memory(d), subgroups(d), f16, matrices, openedBy(d), d.driver];
}

function deviceLines(device: DeviceReport | DeviceFailure): string[] {
  if (!isReport(device)) return rows([["does not answer", device.error.message]]);
  const { limits } = device;
  return rows([
    ["kind", `${device.kind}, ${device.backend}, vendor ${device.vendor}`],
    ["driver", device.driver],
    ["opened by", openedBy(device)],
    ["memory", memory(device)],
    ["subgroups", subgroups(device)],
    ["matrices", device.subgroupMatrixConfigs.map(matrix).join(", ") || "none"],
    ["buffer", `${bytes(limits["maxBufferSize"])}, bound ${bytes(limits["maxStorageBufferBindingSize"])}`],
    ["bindings", `${limits["maxStorageBuffersPerShaderStage"]} storage buffers, ${immediates(limits)}`],
    ["workgroup", workgroup(limits)],
    ["features", device.features.join(" ")],
    ["WGSL", device.wgslFeatures.join(" ")],
  ]);
}

function hostRows(host: HostFacts): [string, string][] {
  const { loader, driverFiles, gpus, renderNodes, swiftshader } = host;
  const gpu = (g: HostFacts["gpus"][number]) => `${g.vendor} at ${g.address} (driver ${g.driver ?? "none"})`;
  const node = (n: HostFacts["renderNodes"][number]) => `${n.path}${n.accessible ? "" : " (no permission)"}`;
  const software =
    swiftshader &&
    `${swiftshader.version}, ${swiftshader.unpacked ? "in" : "not yet in"} ${swiftshader.folder}`;
  return [
    ["Vulkan loader", loader],
    ["driver files", host.driversSetTo ?? (driverFiles.join(" ") || "none")],
    ["GPUs on the bus", gpus.map(gpu).join(", ") || "none"],
    ["render nodes", renderNodes.map(node).join(", ") || "none"],
    ["SwiftShader", software ?? "not installed"],
  ];
}

function adviceLines({ level, text, remedy }: Advice): string[] {
  const mark = level === "problem" ? colour.red("problem") : colour.yellow("note");
  return [`  ${mark}: ${text}`, `    ${remedy}`];
}

function rows(pairs: [string, string][]): string[] {
  const width = Math.max(...pairs.map(([name]) => name.length));
  return pairs.map(([name, value]) => `  ${name.padEnd(width)}  ${value}`);
}

function memory({ memoryTotalMb }: DeviceReport): string {
  return memoryTotalMb === undefined ? "unknown" : `${(memoryTotalMb / 1024).toFixed(1)} GiB`;
}

/** How it is told from the others: by its name, or by the Vulkan loader's selection variable. */
function openedBy({ card }: DeviceReport): string {
  return card === undefined ? "name" : `DRI_PRIME=${primeOf(card)}`;
}

function subgroups({ subgroups: sizes }: DeviceReport): string {
  if (!sizes) return "none";
  const { min, max, width } = sizes;
  if (min === max) return String(min);
  return `${min} to ${max}${width === undefined ? "" : `, held to ${width}`}`;
}

function matrix({
  componentType,
  resultComponentType,
  M,
  N,
  K,
}: DeviceReport["subgroupMatrixConfigs"][number]) {
  return `${M}×${N}×${K} ${componentType}→${resultComponentType}`;
}

function workgroup(limits: Record<string, number>): string {
  const invocations = limits["maxComputeInvocationsPerWorkgroup"];
  const groups = limits["maxComputeWorkgroupsPerDimension"];
  return `${invocations} invocations, ${bytes(limits["maxComputeWorkgroupStorageSize"])} shared, ${groups} groups a dimension`;
}

function immediates(limits: Record<string, number>): string {
  return `${limits["maxImmediateSize"] ?? 0} bytes of immediates, offsets in steps of ${limits["minStorageBufferOffsetAlignment"]}`;
}

/** "128 MiB", "4 GiB": with one digit after the point where it is not a whole number. */
function bytes(count = 0): string {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  const unit = Math.max(0, Math.min(units.length - 1, Math.floor(Math.log2(count) / 10)));
  return `${Number((count / 1024 ** unit).toFixed(1))} ${units[unit]}`;
}
