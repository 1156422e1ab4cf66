// The whole tower against the reference's numbers, and what serving asks of it.
import { join } from "node:path";
import { readFileSync } from "node:fs";
import { afterAll, describe, expect, test, vi } from "vitest";
import { caseNames, demoModel, loadGolden, referenceFolders } from "../../test-fixtures/golden.ts";
import { expectClose, testGpu } from "../../test-fixtures/gpu.ts";
import { openCheckpoint } from "../formats/checkpoint.ts";
import { readF32 } from "../gpu/readback.ts";
import { elements, free } from "../gpu/tensor.ts";
import { defaultImageLimits, ImagePreparer, readImageSettings, type Grid } from "../image/index.ts";
import { parseConfig, supportedModelTypes } from "../models/config.ts";
import { Loader } from "../models/loader.ts";
import { visionTower } from "../models/vision.ts";
import { visionConfig } from "../models/visionConfig.ts";
import * as tables from "../models/visionTables.ts";
import { bindablePatches, TowerRunner, type TowerOptions } from "./tower.ts";

const gpu = await testGpu();
const open: { destroy(): void }[] = [];
afterAll(() => open.forEach((one) => one.destroy()));

async function openTower(folder: string, options: Partial<TowerOptions> = {}): Promise<TowerRunner> {
  const checkpoint = await openCheckpoint(folder);
  const loader = new Loader(gpu, checkpoint);
  const config = visionConfig(parseConfig(checkpoint.config, checkpoint.configFile), checkpoint.configFile)!;
  const tower = await visionTower(loader, config);
  await loader.fill();
  await checkpoint.close();
  const settings = (await readImageSettings(folder))!;
  const runner = await TowerRunner.create(gpu, tower, {
    settings,
    patches: 96,
    mostPatches: 256,
    flopsPerSubmit: 1e8,
    ...options,
  });
  open.push(runner, { destroy: () => loader.dispose() });
  return runner;
}

const runnable = referenceFolders().filter((folder) => {
  const { model_type: type } = JSON.parse(readFileSync(join(folder, "config.json"), "utf8")) as {
    model_type: string;
  };
  return (supportedModelTypes as readonly string[]).includes(type);
});
const cases = runnable.flatMap((folder) =>
  caseNames(folder)
    .map((name) => ({ folder, name, ...loadGolden(folder, name) }))
    .filter(({ tensors }) => tensors.has("vision.merged")),
);

/** The rows of each picture of a golden. */
function pictures(
  { inputs, tensors }: (typeof cases)[number],
  name: string,
): { grid: Grid; data: Float32Array }[] {
  const { shape, data } = tensors.get(name)!;
  const grids = inputs["image_grid_thw"] as unknown as Grid[];
  const patches = grids.reduce((sum, [, rows, columns]) => sum + rows * columns, 0);
  const width = (shape[1]! * shape[0]!) / patches;
  let at = 0;
  return grids.map((grid) => {
    const end = at + grid[1] * grid[2] * width;
    const part = { grid, data: (data as Float32Array).slice(at, end) };
    at = end;
    return part;
  });
}

describe.runIf(cases.length > 0)("goldens", () => {
  const towers = new Map<string, Promise<TowerRunner>>();
  const towerOf = (folder: string) => {
    if (!towers.has(folder)) towers.set(folder, openTower(folder, { keep: true }));
    return towers.get(folder)!;
  };

  test.each(cases)("$folder $name: every stage of every picture", async (one) => {
    const tower = await towerOf(one.folder);
    const file = (i: number) => readFileSync(join(one.folder, (one.inputs["images"] as string[])[i]!));
    const preparer = new ImagePreparer((await readImageSettings(one.folder))!, defaultImageLimits);
    for (const [i, { grid, data: merged }] of pictures(one, "vision.merged").entries()) {
      const image = await preparer.prepare(`data:;base64,${file(i).toString("base64")}`);
      expect(image.grid).toEqual(grid);
      const result = await tower.encode(image);
      for (const [name, tensor] of tower.kept) {
        const { data } = pictures(one, name)[i]!;
        expectClose((await readF32(gpu, tensor)).subarray(0, data.length), data, 1e-4, name);
      }
      expectClose(await readF32(gpu, result), merged, 1e-4);
      free(result);
    }
    expect([...tower.kept.keys()].slice(0, 3)).toEqual([
      "vision.patch_embed",
      "vision.block_in",
      "vision.block.0",
    ]);
  });

  test("known bad: positions looked up row by row", async () => {
    const [one] = cases;
    const tower = await towerOf(one!.folder);
    const right = tables.positionCorners;
    const [{ grid, data: pixels }] = pictures(one!, "pixel_values") as [
      { grid: Grid; data: Float32Array<ArrayBuffer> },
    ];
    const merged = pictures(one!, "vision.merged")[0]!.data;
    const good = await tower.run(pixels, grid);
    expectClose(await readF32(gpu, good), merged, 1e-4);
    vi.spyOn(tables, "positionCorners").mockImplementation((at, side) => right({ ...at, merge: 1 }, side));
    const bad = await tower.run(pixels, grid);
    vi.restoreAllMocks();
    const values = await readF32(gpu, bad);
    expect(() => expectClose(values, merged, 0.05)).toThrow("error");
    free(good, bad);
  });
});

test("plans grow with the pictures, and a picture's numbers do not depend on them", async () => {
  const tower = await openTower(demoModel, { patches: 16, mostPatches: 400 });
  const picture = (rows: number, columns: number) => {
    const [height, width] = [16 * rows, 16 * columns];
    const rgb = Uint8Array.from({ length: height * width * 3 }, (_, i) => (i * i + 13 * i) % 256);
    return { rgb, height, width, grid: [1, rows, columns] as Grid };
  };
  const before = tower.scratchBytes;
  const small = await tower.encode(picture(4, 2));
  expect(tower.scratchBytes).toBe(before);
  const large = await tower.encode(picture(12, 18));
  const grown = tower.scratchBytes;
  expect(grown).toBeGreaterThan(5 * before);
  const again = await tower.encode(picture(4, 2));
  expect(await readF32(gpu, again)).toEqual(await readF32(gpu, small));
  expect([tower.scratchBytes, elements(large.shape)]).toEqual([grown, (12 * 18 * 192) / 4]);
  await expect(tower.encode(picture(20, 22))).rejects.toMatchObject({
    code: "bad_request",
    message: "a picture of 440 patches: the vision tower takes 400 at most here",
  });
  free(small, large, again);
});

test("no activation is wider than the device binds", () => {
  const released = { patchValues: 1536, hidden: 1152, intermediate: 4304, merge: 2 } as Parameters<
    typeof bindablePatches
  >[1];
  const limited = { ...gpu, limits: { ...gpu.limits, maxStorageBufferBindingSize: 2 ** 27 } };
  expect(bindablePatches(limited, released)).toBe(7796);
});
