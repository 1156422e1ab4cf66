// How a checkpoint wants its pictures: preprocessor_config.json, or the same settings inside processor_config.json.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { EngineError } from "../errors.ts";

export interface ImageSettings {
  /** Side of a square patch. */
  patch: number;
  /** Frames of a patch; a still picture repeats its one. */
  frames: number;
  /** Patches on each side of what becomes one token. */
  merge: number;
  /** Least and most pixels after the resize. */
  minPixels: number;
  maxPixels: number;
  /** Of each channel's values in 0 … 1. */
  mean: readonly [number, number, number];
  std: readonly [number, number, number];
}

const count = v.pipe(v.number(), v.integer(), v.minValue(1));
const three = v.tuple([v.number(), v.number(), v.number()]);
const positive = v.pipe(v.number(), v.gtValue(0));

const Settings = v.looseObject({
  patch_size: v.optional(count, 16),
  temporal_patch_size: v.optional(count, 2),
  merge_size: v.optional(count, 2),
  /** These "edges" are pixel counts. */
  size: v.nullish(v.looseObject({ shortest_edge: v.nullish(count), longest_edge: v.nullish(count) })),
  min_pixels: v.nullish(count),
  max_pixels: v.nullish(count),
  image_mean: v.optional(three, [0.5, 0.5, 0.5]),
  image_std: v.optional(v.tuple([positive, positive, positive]), [0.5, 0.5, 0.5]),
  /** What we compute; another value would be another arithmetic. */
  do_resize: v.optional(v.literal(true)),
  do_rescale: v.optional(v.literal(true)),
  do_normalize: v.optional(v.literal(true)),
  do_convert_rgb: v.nullish(v.literal(true)),
  resample: v.optional(v.literal(3, "expected 3, bicubic")),
  rescale_factor: v.optional(v.pipe(v.number(), v.minValue(1 / 255 - 1e-9), v.maxValue(1 / 255 + 1e-9))),
});

/** The settings of a model folder; undefined where it has neither file. Errors: bad_checkpoint with file and key. */
export async function readImageSettings(folder: string): Promise<ImageSettings | undefined> {
  const own = join(folder, "preprocessor_config.json");
  const preprocessor = await readJson(own);
  if (preprocessor !== undefined) return parseImageSettings(preprocessor, own);
  const shared = join(folder, "processor_config.json");
  const processor = await readJson(shared);
  if (typeof processor !== "object" || processor === null || !("image_processor" in processor))
    return undefined;
  return parseImageSettings(processor.image_processor, shared);
}

/** Errors: bad_checkpoint with `file` and the key. */
export function parseImageSettings(json: unknown, file: string): ImageSettings {
  const result = v.safeParse(Settings, json);
  if (!result.success) {
    const [issue] = result.issues;
    throw new EngineError(
      "bad_checkpoint",
      `${file}: ${v.getDotPath(issue) ?? "the document"}: ${issue.message}`,
    );
  }
  const { output: o } = result;
  const minPixels = o.size?.shortest_edge ?? o.min_pixels ?? 65_536;
  const maxPixels = o.size?.longest_edge ?? o.max_pixels ?? 16_777_216;
  if (minPixels > maxPixels) {
    throw new EngineError("bad_checkpoint", `${file}: ${minPixels} pixels at least, ${maxPixels} at most`);
  }
  return {
    patch: o.patch_size,
    frames: o.temporal_patch_size,
    merge: o.merge_size,
    minPixels,
    maxPixels,
    mean: o.image_mean,
    std: o.image_std,
  };
}

async function readJson(path: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new EngineError("bad_checkpoint", `${path}: ${(error as Error).message}`);
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new EngineError("bad_checkpoint", `${path}: ${(error as Error).message}`);
  }
}
