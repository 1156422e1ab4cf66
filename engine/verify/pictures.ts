// The pictures of a case: prepared from their files, run through the tower, every stage in the goldens' own layout.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { EngineError } from "../errors.ts";
import { readF32 } from "../gpu/readback.ts";
import type { Gpu } from "../gpu/adapter.ts";
import { free } from "../gpu/tensor.ts";
import { defaultImageLimits, ImagePreparer, patchRows, type PreparedImage } from "../image/index.ts";
import { imageSpans } from "../models/mrope.ts";
import type { FedPicture } from "../serve/entrance.ts";
import type { Vision } from "../serve/vision.ts";
import type { GoldenCase } from "./golden.ts";
import { joined, type Trace } from "./trace.ts";

/** A reference's resize may round some values the other way: two steps of 1/255 in what was 0 … 1 and is now −1 … 1. */
export const pixelBound = 4 / 255 + 1e-6;

export interface CasePictures {
  fed: FedPicture[];
  /** `pixel_values` [N, …], `vision.patch_embed` … `vision.merged`, all pictures one below the other. */
  trace: Trace;
  free(): void;
}

/** Errors: bad_checkpoint where the case's files, grids and tokens do not agree. */
export async function runPictures(
  gpu: Gpu,
  vision: Vision,
  folder: string,
  one: GoldenCase,
): Promise<CasePictures> {
  const preparer = new ImagePreparer(vision.info.settings, defaultImageLimits);
  const stages = new Map<string, Float32Array[]>();
  const fed: FedPicture[] = [];
  const release = () => {
    for (const { embedding } of fed.splice(0)) if ("storage" in embedding) free(embedding);
  };
  try {
    const grids: PreparedImage["grid"][] = [];
    for (const file of one.images) grids.push((await preparer.prepareBytes(await read(folder, file))).grid);
    checkGrids(one, grids);
    const spans = imageSpans(one.input_ids, vision.info.imageToken, grids, vision.info.merge);
    for (const [i, file] of one.images.entries()) {
      const image = await preparer.prepareBytes(await read(folder, file));
      fed.push({ ...spans[i]!, embedding: await vision.tower.encode(image) });
      const pixels = patchRows(image.rgb, image, vision.info.settings);
      for (const [name, values] of [
        ["pixel_values", pixels] as const,
        ...(await readStages(gpu, vision, image)),
      ]) {
        stages.set(name, [...(stages.get(name) ?? []), values]);
      }
    }
    return { fed, trace: new Map([...stages].map(([name, parts]) => [name, joined(parts)])), free: release };
  } catch (error) {
    release();
    throw error;
  }
}

/** The rows of the last picture, of every stage. */
async function readStages(
  gpu: Gpu,
  { tower }: Vision,
  image: PreparedImage,
): Promise<[string, Float32Array][]> {
  const patches = image.grid[1] * image.grid[2];
  const reading = [...tower.kept].map(async ([name, tensor]): Promise<[string, Float32Array]> => {
    const rows = name === "vision.merged" ? image.tokens : patches;
    return [name, (await readF32(gpu, tensor)).subarray(0, rows * tensor.shape[1]!)];
  });
  return Promise.all(reading);
}

async function read(folder: string, file: string): Promise<Uint8Array> {
  try {
    return await readFile(join(folder, file));
  } catch (error) {
    throw new EngineError("bad_checkpoint", `${join(folder, file)}: ${(error as Error).message}`);
  }
}

function checkGrids(
  { name, image_grid_thw: expected }: GoldenCase,
  grids: readonly (readonly number[])[],
): void {
  if (expected.length === 0 || JSON.stringify(grids) === JSON.stringify(expected)) return;
  const [ours, theirs] = [grids, expected].map((all) => JSON.stringify(all));
  throw new EngineError(
    "bad_checkpoint",
    `${name}: its pictures have the grids ${ours}, the reference's ${theirs}`,
  );
}
