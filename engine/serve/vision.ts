// A checkpoint's vision tower on the device, and the pictures it has seen: embeddings stay, by the pictures' content,
// within a budget of bytes, so that a conversation about a picture runs the tower once.
import { join } from "node:path";
import { EngineError } from "../errors.ts";
import type { Checkpoint } from "../formats/checkpoint.ts";
import type { Gpu } from "../gpu/adapter.ts";
import { free, type Tensor } from "../gpu/tensor.ts";
import { LruCache } from "../image/lru.ts";
import { parseImageSettings, readImageSettings, type ImageSettings } from "../image/settings.ts";
import type { ModelConfig } from "../models/config.ts";
import type { Loader } from "../models/loader.ts";
import { towerTensor, visionTower } from "../models/vision.ts";
import { visionConfig, type VisionConfig } from "../models/visionConfig.ts";
import type { FedPicture } from "./entrance.ts";
import { bindablePatches, TowerRunner } from "./tower.ts";
import type { ImageUsage, RequestImage, VisionInfo } from "./types.ts";

export interface VisionOptions {
  /** Tokens of a sequence: a picture with more has no place. */
  contextLength: number;
  flopsPerSubmit: number;
  /** Bytes of embeddings kept. */
  cacheBytes: number;
  /** Keep the tower's stages readable. */
  keep?: boolean;
}

/** What the plans made at load are for, on a card; software compiles so slowly that the first picture waits for it. */
const patchesAtLoad = { hardware: 1024, software: 0 };

export class Vision {
  readonly info: VisionInfo;
  readonly tower: TowerRunner;
  readonly #gpu: Gpu;
  readonly #kept: LruCache<Tensor>;
  /** How many requests use an embedding now. */
  readonly #used = new Map<string, number>();

  constructor(gpu: Gpu, tower: TowerRunner, info: VisionInfo, cacheBytes: number) {
    this.info = info;
    this.tower = tower;
    this.#gpu = gpu;
    this.#kept = new LruCache(cacheBytes, (embedding) => free(embedding));
  }

  get cachedBytes(): number {
    return this.#kept.bytes;
  }

  /** The pictures' embeddings, computed where they are not at hand; valid until `release`. */
  async embed(
    images: readonly RequestImage[],
    signal?: AbortSignal,
  ): Promise<{ pictures: FedPicture[]; usage: ImageUsage; release(): void }> {
    const begun = performance.now();
    const pictures: FedPicture[] = [];
    const usage: ImageUsage = { count: images.length, tokens: 0, cached: 0, encodeMs: 0 };
    const held: string[] = [];
    const release = () => this.#release(held.splice(0));
    try {
      for (const image of images) {
        signal?.throwIfAborted();
        const known = this.#kept.get(image.hash);
        if (known) usage.cached += 1;
        const embedding = known ?? (await this.#compute(image));
        this.#hold(image.hash);
        held.push(image.hash);
        const [rows, columns] = [image.grid[1] / this.info.merge, image.grid[2] / this.info.merge];
        pictures.push({ at: image.at, rows, columns, embedding });
        usage.tokens += rows * columns;
      }
      if (usage.cached < images.length) await this.#gpu.device.queue.onSubmittedWorkDone();
    } catch (error) {
      release();
      throw error;
    }
    usage.encodeMs = performance.now() - begun;
    return { pictures, usage, release };
  }

  destroy(): void {
    this.#kept.clear();
    this.tower.destroy();
  }

  async #compute(image: RequestImage): Promise<Tensor> {
    const embedding = await this.tower.encode(image);
    const meanwhile = this.#kept.get(image.hash);
    if (meanwhile) free(embedding);
    else this.#kept.set(image.hash, embedding, embedding.storage.bytes);
    return meanwhile ?? embedding;
  }

  #hold(hash: string): void {
    this.#used.set(hash, (this.#used.get(hash) ?? 0) + 1);
  }

  #release(hashes: readonly string[]): void {
    for (const hash of hashes) {
      const uses = this.#used.get(hash)! - 1;
      if (uses > 0) this.#used.set(hash, uses);
      else this.#used.delete(hash);
    }
    this.#kept.trim((hash) => this.#used.has(hash));
  }
}

/** What a checkpoint says of its tower; undefined where it has none. Errors: bad_checkpoint, unsupported_model. */
export function towerOf(checkpoint: Checkpoint, config: ModelConfig): VisionConfig | undefined {
  return checkpoint.has(towerTensor) ? visionConfig(config, checkpoint.configFile) : undefined;
}

/** Reads the tower of a checkpoint; undefined where it has none. Errors: bad_checkpoint, unsupported_model, out_of_memory. */
export async function loadVision(
  gpu: Gpu,
  checkpoint: Checkpoint,
  loader: Loader,
  config: ModelConfig,
  options: VisionOptions,
): Promise<Vision | undefined> {
  const vision = towerOf(checkpoint, config);
  if (!vision) return undefined;
  const settings = await settingsOf(checkpoint, vision);
  const tower = await visionTower(loader, vision);
  const bindable = bindablePatches(gpu, vision);
  const runner = await TowerRunner.create(gpu, tower, {
    settings,
    patches: patchesAtLoad[gpu.report.kind === "software" ? "software" : "hardware"],
    mostPatches: Math.min(bindable, options.contextLength * vision.merge ** 2),
    flopsPerSubmit: options.flopsPerSubmit,
    keep: options.keep ?? false,
  });
  const info = {
    settings,
    merge: vision.merge,
    imageToken: vision.imageToken,
    mostPixels: bindable * vision.patch ** 2,
  };
  return new Vision(gpu, runner, info, options.cacheBytes);
}

async function settingsOf(
  { folder, preprocessor }: Checkpoint,
  { patch, frames, merge }: VisionConfig,
): Promise<ImageSettings> {
  const file = preprocessor ? folder : join(folder, "preprocessor_config.json");
  const settings = preprocessor ? parseImageSettings(preprocessor, folder) : await readImageSettings(folder);
  if (!settings) throw new EngineError("bad_checkpoint", `${file} is missing: the model has a vision tower`);
  if (settings.patch === patch && settings.frames === frames && settings.merge === merge) return settings;
  const [theirs, ours] = [settings, { patch, frames, merge }].map(
    (s) => `${s.patch}, ${s.frames}, ${s.merge}`,
  );
  throw new EngineError(
    "bad_checkpoint",
    `${file}: patch, frames and merge are ${theirs}; config.json says ${ours}`,
  );
}
