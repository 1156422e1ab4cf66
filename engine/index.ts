// The engine's only door.
export {
  errorCodes,
  EngineError,
  fromPlainError,
  toPlainError,
  type ErrorCode,
  type PlainError,
} from "./errors.ts";
export { packageRoot } from "./root.ts";
export { allAdapters, openGpu, prepareAdapter, requestAdapter } from "./gpu/adapter.ts";
export type { AdapterChoice, Gpu, GpuOptions } from "./gpu/adapter.ts";
export { deviceMemory } from "./gpu/memory.ts";
export type { DeviceMemory } from "./gpu/memory.ts";
export type { Advice } from "./gpu/advice.ts";
export type { HostFacts } from "./gpu/host.ts";
export type { DeviceReport } from "./gpu/report.ts";
export { primeOf } from "./gpu/twins.ts";
export { survey } from "./gpu/survey.ts";
export type { DeviceFailure, Survey } from "./gpu/survey.ts";
export { plannedModelTypes, supportedModelTypes } from "./models/config.ts";
export { planLines, readable } from "./serve/memoryPlan.ts";
export { planLoad } from "./serve/planLoad.ts";
export { openEngine, type EngineOptions } from "./serve/engine.ts";
export type * from "./serve/types.ts";
export type { Difference } from "./verify/compare.ts";
export { verifyFolder } from "./verify/verify.ts";
export { verifyEveryWay } from "./verify/ways.ts";
export type { CaseReport, Cut, CutReport, VerifyOptions } from "./verify/verify.ts";
