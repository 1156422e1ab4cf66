// A device and the worker thread that owns it, as the rest of the process sees them.
import { Worker } from "node:worker_threads";
import { EngineError } from "../errors.ts";
import { prepareAdapter, type GpuOptions } from "../gpu/adapter.ts";
import type { DeviceReport } from "../gpu/report.ts";
import { defaultImageLimits, type ImageLimits } from "../image/index.ts";
import { DeviceLink } from "./link.ts";
import { loadText } from "./text.ts";
import { LoadedModel, type ModelOptions } from "./model.ts";
import type { Engine, LoadOptions, LoadProgress, Model } from "./types.ts";

export interface EngineOptions extends GpuOptions {
  /** How many requests may wait for one model. */
  maxQueue?: number;
  /** For loads that do not say it themselves: LoadOptions.maxInFlight. */
  maxInFlight?: number | undefined;
  /** For loads that do not say it themselves: LoadOptions.prefixCache. */
  prefixCache?: boolean;
  /** What pictures may cost; default: engine/image/limits.ts. */
  images?: Partial<ImageLimits>;
}

interface ModelDefaults extends ModelOptions {
  maxInFlight: number | undefined;
  prefixCache: boolean;
}

/** How long a thread may take to free its device before it is ended by force, ms. */
const closeLimitMs = 5_000;

/** Starts the thread of the chosen device and waits until it is open. Throws no_adapter. */
export async function openEngine(options: EngineOptions = {}): Promise<Engine> {
  const { maxQueue = 64, maxInFlight, prefixCache = true, images, ...gpuOptions } = options;
  const modelOptions = { maxQueue, maxInFlight, prefixCache, images: { ...defaultImageLimits, ...images } };
  const choice = await prepareAdapter(gpuOptions);
  const file = import.meta.url.endsWith(".ts") ? "./worker.ts" : "./worker.js";
  const worker = new Worker(new URL(file, import.meta.url), {
    workerData: choice,
    name: `device ${choice.index}`,
  });
  const link = new DeviceLink(worker);
  worker.on("error", (error) => {
    link.fail(
      new EngineError("device_lost", `the device's thread failed: ${error.message}`, {}, { cause: error }),
    );
  });
  worker.on("exit", (code) => {
    link.fail(new EngineError("device_lost", `the device's thread ended with code ${code}`));
    link.ended();
  });
  return new DeviceEngine(await link.opened, link, worker, modelOptions);
}

class DeviceEngine implements Engine {
  readonly device: DeviceReport;
  readonly #link: DeviceLink;
  readonly #worker: Worker;
  readonly #modelOptions: ModelDefaults;

  constructor(device: DeviceReport, link: DeviceLink, worker: Worker, modelOptions: ModelDefaults) {
    this.device = device;
    this.#link = link;
    this.#worker = worker;
    this.#modelOptions = modelOptions;
  }

  async load(
    folder: string,
    options: LoadOptions,
    onProgress: (progress: LoadProgress) => void = () => undefined,
  ): Promise<Model> {
    const text = await loadText(folder, options.quant);
    const { maxInFlight, prefixCache, images } = this.#modelOptions;
    const own = {
      ...{ imageCacheBytes: images.cacheBytes, prefixCache, specialTokens: text.tokenizer.specialIds },
      ...(maxInFlight === undefined ? {} : { maxInFlight }),
    };
    const { model, info } = await this.#link.load(folder, { ...own, ...options }, onProgress);
    return new LoadedModel(this.#link, model, info, text, this.#modelOptions);
  }

  async close(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const limit = new Promise<void>((resolve) => (timer = setTimeout(resolve, closeLimitMs)));
    await Promise.race([this.#link.close(), limit]);
    clearTimeout(timer);
    await this.#worker.terminate();
  }
}
