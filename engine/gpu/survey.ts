import { createRequire } from "node:module";
import { toPlainError } from "../errors.ts";
import type { PlainError } from "../errors.ts";
import { allAdapters, prepareAdapter, requestAdapter } from "./adapter.ts";
import { advise } from "./advice.ts";
import type { Advice } from "./advice.ts";
import { hostFacts } from "./host.ts";
import type { HostFacts } from "./host.ts";
import type { DeviceReport } from "./report.ts";

/** Everything that can be said about the GPUs of a host. */
export interface Survey {
  /** Version of the npm package that carries Dawn. */
  dawn: string;
  host: HostFacts;
  /** By index; one that did not answer when asked is an error in its place. */
  devices: (DeviceReport | DeviceFailure)[];
  advice: Advice[];
}

export interface DeviceFailure {
  index: number;
  name: string;
  error: PlainError;
}

const dawn = (createRequire(import.meta.url)("webgpu/package.json") as { version: string }).version;

const supported = "Dawn has builds for Linux with glibc (x64, arm64), macOS and Windows (x64, arm64)";

/** Asks every adapter what it offers and the host what it lacks. Opens no device. Main thread only. */
export async function survey(): Promise<Survey> {
  const host = await hostFacts();
  try {
    const entries = await allAdapters();
    const devices: Survey["devices"] = [];
    for (const [index, { name }] of entries.entries()) devices.push(await surveyDevice(index, name));
    return { dawn, host, devices, advice: advise(host, entries) };
  } catch (error) {
    const { message } = toPlainError(error);
    return { dawn, host, devices: [], advice: [{ level: "problem", text: message, remedy: supported }] };
  }
}

async function surveyDevice(index: number, name: string): Promise<DeviceReport | DeviceFailure> {
  try {
    return (await requestAdapter(await prepareAdapter({ device: index }))).report;
  } catch (error) {
    return { index, name, error: toPlainError(error) };
  }
}
