// Pictures through the vision tower, one after another: two plans (patches, then tokens) and the buffers they read.
// The plans are for a number of patches and are made anew for the first picture that has more.
import { EngineError } from "../errors.ts";
import type { Gpu } from "../gpu/adapter.ts";
import type { Plan } from "../gpu/plan.ts";
import { Recording } from "../gpu/recording.ts";
import { bufferOf } from "../gpu/readback.ts";
import { allocating, free, permanent, type Tensor } from "../gpu/tensor.ts";
import { patchRows, type Grid } from "../image/patches.ts";
import type { ImageSettings } from "../image/settings.ts";
import type { VisionInputs, VisionTower } from "../models/vision.ts";
import type { VisionConfig } from "../models/visionConfig.ts";
import { patchPlaces, positionCorners, visionRopeTable } from "../models/visionTables.ts";

/** Smaller plans are not worth making. */
const leastPatches = 256;

export interface TowerOptions {
  /** How pictures become patches; its sizes are the tower's own. */
  settings: ImageSettings;
  /** Patches of the plans made at once (0: with the first picture), and of the largest that may be made. */
  patches: number;
  mostPatches: number;
  /** Estimated arithmetic of one submit, FLOP. */
  flopsPerSubmit: number;
  /** Keep the tensors that the tower names readable. */
  keep?: boolean;
}

/** A picture as the tower takes it. */
export interface TowerImage {
  /** [height, width, 3] */
  rgb: Uint8Array;
  height: number;
  width: number;
  grid: Grid;
}

interface Plans {
  capacity: number;
  /** Of the patches and of the tokens that they become. */
  steps: [patches: Tensor, tokens: Tensor];
  inputs: VisionInputs;
  body: Plan;
  merge: Plan;
  merged: Tensor;
}

export class TowerRunner {
  readonly config: VisionConfig;
  readonly #gpu: Gpu;
  readonly #tower: VisionTower;
  readonly #options: TowerOptions;
  /** None after a failure to make larger ones. */
  #plans: Plans | undefined;

  private constructor(gpu: Gpu, tower: VisionTower, options: TowerOptions, plans: Plans | undefined) {
    this.config = tower.config;
    this.#gpu = gpu;
    this.#tower = tower;
    this.#options = options;
    this.#plans = plans;
  }

  static async create(gpu: Gpu, tower: VisionTower, options: TowerOptions): Promise<TowerRunner> {
    const capacity = Math.min(options.patches, options.mostPatches);
    const plans = capacity > 0 ? await record(gpu, tower, capacity, options.keep ?? false) : undefined;
    return new TowerRunner(gpu, tower, options, plans);
  }

  get scratchBytes(): number {
    if (!this.#plans) return 0;
    const { body, merge, inputs } = this.#plans;
    const read = Object.values(inputs).reduce((sum, { storage }) => sum + storage.bytes, 0);
    return body.scratchBytes + merge.scratchBytes + read;
  }

  /** Kernels of one picture, in order. */
  get kernels(): readonly string[] {
    return [...(this.#plans?.body.kernels ?? []), ...(this.#plans?.merge.kernels ?? [])];
  }

  /** What the tower kept of the last picture (with `keep`); rows beyond its own hold anything. */
  get kept(): ReadonlyMap<string, Tensor> {
    return new Map([...(this.#plans?.body.kept ?? []), ...(this.#plans?.merge.kept ?? [])]);
  }

  /** The picture's tokens, [tokens, H], in a tensor of their own: the caller frees it. Errors: out_of_memory. */
  async encode(image: TowerImage): Promise<Tensor> {
    return this.run(patchRows(image.rgb, image, this.#options.settings), image.grid);
  }

  /** The same from the patches' values, [N, 3 · frames · patch²]. */
  async run(pixels: Float32Array<ArrayBuffer>, [, rows, columns]: Grid): Promise<Tensor> {
    const { merge, hidden, out } = this.config;
    const patches = rows * columns;
    const tokens = patches / merge ** 2;
    const plans = await this.#fitting(patches);
    this.#write(plans, pixels, rows, columns);
    plans.body.submit(patches, this.#options.flopsPerSubmit);
    const result = permanent(this.#gpu, `picture ${rows} × ${columns} of ${hidden}`, [tokens, out]);
    plans.merge.submit(tokens, this.#options.flopsPerSubmit, (encoder) => {
      encoder.copyBufferToBuffer(bufferOf(plans.merged), 0, bufferOf(result), 0, tokens * out * 4);
    });
    return result;
  }

  destroy(): void {
    if (this.#plans) freePlans(this.#plans);
    this.#plans = undefined;
  }

  #write({ steps, inputs }: Plans, pixels: Float32Array<ArrayBuffer>, rows: number, columns: number): void {
    const { merge, side } = this.config;
    const grid = { rows, columns, merge };
    const { corners, weights } = positionCorners(grid, side);
    const put = (tensor: Tensor, data: Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>) => {
      this.#gpu.device.queue.writeBuffer(bufferOf(tensor), 0, data);
    };
    put(steps[0], new Uint32Array([rows * columns, 0, 0, 0]));
    put(steps[1], new Uint32Array([(rows * columns) / merge ** 2, 0, 0, 0]));
    put(inputs.pixels, pixels);
    put(inputs.corners, corners);
    put(inputs.cornerWeights, weights);
    put(inputs.places, patchPlaces(grid));
  }

  async #fitting(patches: number): Promise<Plans> {
    const { mostPatches } = this.#options;
    if (patches > mostPatches) {
      const message = `a picture of ${patches} patches: the vision tower takes ${mostPatches} at most here`;
      throw new EngineError("bad_request", message, { limit: mostPatches });
    }
    const had = this.#plans?.capacity ?? 0;
    if (this.#plans && patches <= had) return this.#plans;
    this.destroy(); // first, so that both need not fit side by side; what was submitted still runs
    const capacity = Math.min(mostPatches, Math.max(patches, 2 * had, leastPatches));
    return (this.#plans = await this.#record(capacity));
  }

  async #record(capacity: number): Promise<Plans> {
    const keep = this.#options.keep ?? false;
    try {
      return await allocating(this.#gpu, () => record(this.#gpu, this.#tower, capacity, keep));
    } catch (error) {
      if (!(error instanceof EngineError) || error.code !== "out_of_memory") throw error;
      const pixels = capacity * this.config.patch ** 2;
      throw new EngineError("out_of_memory", `a picture of up to ${pixels} pixels: ${error.message}`);
    }
  }
}

/** The most patches whose widest activation the device can bind. */
export function bindablePatches(
  gpu: Gpu,
  { patchValues, hidden, intermediate, merge }: VisionConfig,
): number {
  const rowBytes = 4 * Math.max(patchValues, 3 * hidden, intermediate);
  const group = merge ** 2;
  return Math.floor(gpu.limits.maxStorageBufferBindingSize / rowBytes / group) * group;
}

async function record(gpu: Gpu, tower: VisionTower, capacity: number, keep: boolean): Promise<Plans> {
  const { merge, hidden } = tower.config;
  const group = merge ** 2;
  const step = () => permanent(gpu, "vision step", [4], undefined, "u32");
  const steps: Plans["steps"] = [step(), step()];
  const inputs = createInputs(gpu, tower.config, capacity);
  const patches = new Recording(gpu, { capacity, step: steps[0], keep });
  const x = tower.body(patches, inputs);
  const body = await patches.finish([x]);
  const tokens = new Recording(gpu, { capacity: capacity / group, step: steps[1], keep });
  const merged = tower.merge(tokens, { ...x, shape: [capacity / group, group * hidden] });
  return { capacity, steps, inputs, body, merge: await tokens.finish([merged]), merged };
}

function createInputs(
  gpu: Gpu,
  { patchValues, headDim, merge }: VisionConfig,
  capacity: number,
): VisionInputs {
  const places = capacity / merge; // of the longest line of patches, `merge` abreast
  const table = visionRopeTable(places, headDim);
  return {
    pixels: permanent(gpu, "pixels", [capacity, patchValues]),
    corners: permanent(gpu, "corners", [capacity, 4], undefined, "u32"),
    cornerWeights: permanent(gpu, "corner weights", [capacity, 4]),
    places: permanent(gpu, "places", [capacity, 2], undefined, "u32"),
    table: permanent(gpu, "vision rope", [places, headDim / 4, 2], table),
  };
}

function freePlans({ steps, inputs, body, merge }: Plans): void {
  body.destroy();
  merge.destroy();
  free(...steps, ...Object.values(inputs));
}
