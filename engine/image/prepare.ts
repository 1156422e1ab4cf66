// A picture of a request, ready for the tower: fetched, decoded, resized. What was prepared lately is kept, since a
// conversation sends its pictures anew with every turn.
import { createHash } from "node:crypto";
import { decodeImage } from "./decode.ts";
import type { ImageLimits } from "./limits.ts";
import { LruCache } from "./lru.ts";
import { gridOf, tokensOf, type Grid } from "./patches.ts";
import { resize } from "./resample.ts";
import type { ImageSettings } from "./settings.ts";
import { smartResize } from "./smartResize.ts";
import { imageBytes } from "./source.ts";

export interface PreparedImage {
  height: number;
  width: number;
  /** [height, width, 3]; `patchRows` makes the tower's input of it, eight times as large. */
  rgb: Uint8Array<ArrayBuffer>;
  grid: Grid;
  /** Tokens of the language model. */
  tokens: number;
  /** Of size and pixels: equal pictures have equal hashes, however they were stored. */
  hash: string;
}

const keptBytes = 64 * 2 ** 20;
/** Decoded pictures held at once, over all requests: each may be `limits.pixels` × 3 bytes. */
const atOnce = 2;

export class ImagePreparer {
  readonly settings: ImageSettings;
  readonly limits: ImageLimits;
  readonly #kept = new LruCache<PreparedImage>(keptBytes);
  readonly #turns = new Turns(atOnce);

  constructor(settings: ImageSettings, limits: ImageLimits) {
    this.limits = limits;
    const maxPixels = Math.min(settings.maxPixels, limits.budget ?? Infinity);
    this.settings = { ...settings, maxPixels, minPixels: Math.min(settings.minPixels, maxPixels) };
  }

  /** Errors: bad_request with what is wrong, or the limit and the value. */
  async prepare(url: string, signal?: AbortSignal): Promise<PreparedImage> {
    return this.prepareBytes(await imageBytes(url, this.limits), signal);
  }

  /** The same from the bytes of a file. */
  async prepareBytes(bytes: Uint8Array, signal?: AbortSignal): Promise<PreparedImage> {
    const key = createHash("sha256").update(bytes).digest("base64");
    return this.#kept.get(key) ?? this.#turns.run(() => this.#make(bytes, key, signal));
  }

  async #make(bytes: Uint8Array, key: string, signal: AbortSignal | undefined): Promise<PreparedImage> {
    signal?.throwIfAborted();
    const kept = this.#kept.get(key); // two parts of one request may be the same picture
    if (kept) return kept;
    const picture = await decodeImage(bytes, this.limits);
    signal?.throwIfAborted();
    const { patch, merge } = this.settings;
    const size = smartResize(picture, { ...this.settings, factor: patch * merge });
    const rgb = await resize(picture.rgb, picture, size);
    const grid = gridOf(size, this.settings);
    const hash = createHash("sha256").update(`${size.height} ${size.width} `).update(rgb).digest("base64");
    const prepared = { ...size, rgb, grid, tokens: tokensOf(grid, this.settings), hash };
    this.#kept.set(key, prepared, rgb.byteLength);
    this.#kept.trim();
    return prepared;
  }
}

/** Lets `most` run at a time, the others in order. */
class Turns {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(most: number) {
    this.#free = most;
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free += 1;
    }
  }
}
