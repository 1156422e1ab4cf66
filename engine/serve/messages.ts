// What the main thread and a device's worker thread say to each other. Only numbers, text and plain objects cross;
// buffers, pipelines and weights never leave the thread that owns the device.
import type { MessagePort } from "node:worker_threads";
import type { PlainError } from "../errors.ts";
import type { AdapterChoice } from "../gpu/adapter.ts";
import type { DeviceReport } from "../gpu/report.ts";
import type { TuningOptions } from "../gpu/tuning.ts";
import type { Vocabulary } from "../grammar/vocabulary.ts";
import type { Fault } from "./faults.ts";
import type { MemoryPlan } from "./memoryPlan.ts";
import type { PulseMemory } from "./pulse.ts";
import type { TeamSettings } from "./team/gather.ts";
import type {
  GenerateEvent,
  GenerateRequest,
  LoadOptions,
  LoadProgress,
  ModelSpread,
  VisionInfo,
} from "./types.ts";

/** What a device's thread is started with. */
export interface ThreadData {
  choice: AdapterChoice;
  pulse: PulseMemory;
  /** Of loads, apart from the steps': neither may hide that the other is stuck. */
  loadPulse: PulseMemory;
  /** A load without progress for so long is given up, ms. */
  loadLimitMs: Readonly<Record<DeviceReport["kind"], number>>;
  faults: readonly Fault[];
  tuning: TuningOptions;
}

/** What only the device side knows of a loaded model. */
export interface DeviceModelInfo {
  modelType: string;
  format: string;
  quant: string;
  vocabSize: number;
  /** H of an embedding checkpoint. */
  embeddingWidth: number | undefined;
  contextLength: number;
  maxInFlight: number;
  parameters: number;
  weightBytes: number;
  cacheBytes: number;
  scratchBytes: number;
  dispatchesPerToken: number;
  vision: VisionInfo | undefined;
  spread: ModelSpread | undefined;
  /** Of each device that has a part of it. */
  plans: readonly MemoryPlan[];
}

export type ToWorker =
  /** `promised`: bytes that other models of the device may use. `team`: where others have their shares of it. */
  | {
      type: "load";
      model: number;
      folder: string;
      options: LoadOptions;
      promised: number;
      team: TeamSettings | undefined;
    }
  /** Have a share of a model, as the device at the other end of the port says. */
  | { type: "follow"; port: MessagePort }
  /** Ahead of a model's first request with a grammar. */
  | { type: "vocabulary"; model: number; vocabulary: Vocabulary }
  | { type: "generate"; job: number; model: number; request: GenerateRequest }
  | { type: "cancel"; job: number }
  /** Of a load that is over nothing is heard. */
  | { type: "cancel_load"; model: number }
  | { type: "unload"; model: number }
  | { type: "close" }
  /** Destroy the device and answer `closed`, whatever runs. */
  | { type: "abandon" };

export type FromWorker =
  | { type: "opened"; report: DeviceReport }
  | { type: "open_failed"; error: PlainError }
  | { type: "progress"; model: number; progress: LoadProgress }
  | { type: "loaded"; model: number; info: DeviceModelInfo }
  | { type: "load_failed"; model: number; error: PlainError }
  | { type: "event"; job: number; event: GenerateEvent }
  | { type: "job_failed"; job: number; error: PlainError }
  | { type: "unloaded"; model: number }
  | { type: "lost"; error: PlainError }
  | { type: "closed" };
