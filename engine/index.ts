// The engine's only door.
export { openGpu, prepareAdapter } from "./gpu/adapter.ts";
export type { AdapterChoice, Gpu, GpuOptions } from "./gpu/adapter.ts";
export type { Advice } from "./gpu/advice.ts";
export type { HostFacts } from "./gpu/host.ts";
export { deviceMemory } from "./gpu/memory.ts";
export type { DeviceMemory } from "./gpu/memory.ts";
export type { DeviceReport } from "./gpu/report.ts";
export { survey } from "./gpu/survey.ts";
export type { DeviceFailure, Survey } from "./gpu/survey.ts";
export type { PlainError } from "./errors.ts";
