// A model's place on its device through all lives of the thread that owns it: what it was loaded from, so that it can be
// loaded again, and the number under which the present thread knows it.
import { EngineError } from "../errors.ts";
import type { Vocabulary } from "../grammar/vocabulary.ts";
import type { DeviceGroup, Placed } from "./group.ts";
import type { DeviceModelInfo } from "./messages.ts";
import type { DeviceState, GenerateEvent, GenerateRequest, LoadOptions, LoadProgress } from "./types.ts";

export class Resident {
  readonly folder: string;
  readonly #options: LoadOptions;
  readonly #retryAfter: () => number;
  #vocabulary: Vocabulary | undefined;
  #place: Placed | undefined;
  #state: DeviceState = "recovering";
  #reason: string | undefined;

  /** `retryAfter`: in how many seconds a lost device is likely to be back. */
  constructor(folder: string, options: LoadOptions, retryAfter: () => number) {
    this.folder = folder;
    this.#options = options;
    this.#retryAfter = retryAfter;
  }

  get state(): DeviceState {
    return this.#state;
  }

  get reason(): string | undefined {
    return this.#reason;
  }

  get info(): DeviceModelInfo {
    if (!this.#place) throw new Error(`${this.folder} was never loaded`);
    return this.#place.info;
  }

  /** Indices of the devices that it is on. */
  get devices(): readonly number[] {
    return this.#place?.devices ?? [];
  }

  /** Loads it, or loads it again as it was. Errors: those of the load; device_lost. */
  async load(
    group: Pick<DeviceGroup, "load">,
    onProgress: (progress: LoadProgress) => void,
    signal?: AbortSignal,
  ): Promise<void> {
    const before = this.#place?.info;
    // What was advertised stays: requests were admitted by it.
    const same = before && {
      ...{ contextLength: before.contextLength, maxInFlight: before.maxInFlight, devices: this.devices },
    };
    this.#place = await group.load(this.folder, { ...this.#options, ...same }, onProgress, signal);
    if (this.#vocabulary) this.#place.link.teach(this.#place.model, this.#vocabulary);
    this.#state = "ready";
    this.#reason = undefined;
  }

  /** It is out of service: for a while, or for good. */
  down(state: "recovering" | "failed", reason: string): void {
    this.#state = state;
    this.#reason = reason;
  }

  /** Errors: device_lost, before or in mid-stream; those of the request. */
  async *generate(request: GenerateRequest, signal: AbortSignal): AsyncGenerator<GenerateEvent, void> {
    this.expectReady();
    const { link, model } = this.#place!;
    try {
      yield* link.generate(model, request, signal);
    } catch (error) {
      if (!(error instanceof EngineError) || error.code !== "device_lost") throw error;
      const text = `${error.message}; the request was cut off and may be sent again`;
      throw new EngineError("device_lost", text, { retryAfter: this.#retryAfter() }, { cause: error });
    }
  }

  /** Errors: device_lost where it is not ready, with `retryAfter` where waiting helps. */
  expectReady(): void {
    if (this.#state === "ready") return;
    if (this.#state === "failed") {
      throw new EngineError("device_lost", `the model is out of service: ${this.#reason}`, {
        retryAfter: 15,
      });
    }
    const text = `the device is recovering (${this.#reason}); the model will be back soon`;
    throw new EngineError("device_lost", text, { retryAfter: this.#retryAfter() });
  }

  /** What grammars need to know of the model's tokens; kept for later lives. */
  teach(vocabulary: Vocabulary): void {
    this.#vocabulary = vocabulary;
    if (this.#place) this.#place.link.teach(this.#place.model, vocabulary);
  }

  async unload(): Promise<void> {
    await this.#place?.unload();
  }
}
