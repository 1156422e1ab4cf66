// The places of patches against the reference: its rotary angles, and the learned positions that it adds.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { caseNames, loadGolden, referenceFolders } from "../../test-fixtures/golden.ts";
import { expectClose } from "../../test-fixtures/gpu.ts";
import { openCheckpoint } from "../formats/checkpoint.ts";
import * as reference from "../reference/vision.ts";
import { parseConfig, supportedModelTypes } from "./config.ts";
import { visionConfig, type VisionConfig } from "./visionConfig.ts";
import { patchPlaces, positionCorners, visionRopeTable, type PatchGrid } from "./visionTables.ts";

const runnable = referenceFolders().filter((folder) => {
  const { model_type: type } = JSON.parse(readFileSync(join(folder, "config.json"), "utf8")) as {
    model_type: string;
  };
  return (supportedModelTypes as readonly string[]).includes(type);
});
const cases = runnable.flatMap((folder) =>
  caseNames(folder)
    .map((name) => ({ folder, name, ...loadGolden(folder, name) }))
    .filter(({ tensors }) => tensors.has("vision.block_in")),
);

interface Reading {
  c: VisionConfig;
  table: Float32Array;
  grids: PatchGrid[];
}

async function read({ folder, inputs }: (typeof cases)[number]): Promise<Reading> {
  const checkpoint = await openCheckpoint(folder);
  const c = visionConfig(parseConfig(checkpoint.config, checkpoint.configFile), checkpoint.configFile)!;
  const table = await checkpoint.readF32("model.visual.pos_embed.weight");
  await checkpoint.close();
  const grids = inputs["image_grid_thw"] as [number, number, number][];
  return { c, table, grids: grids.map(([, rows, columns]) => ({ rows, columns, merge: c.merge })) };
}

/** All pictures' tables, one below the other, made by `make`. */
function stacked<T extends Float32Array | Uint32Array>(
  grids: readonly PatchGrid[],
  make: (grid: PatchGrid) => T,
): number[] {
  return grids.flatMap((grid) => [...make(grid)]);
}

describe.runIf(cases.length > 0)("goldens", () => {
  test.each(cases)("$folder $name: learned positions", async (one) => {
    const { c, table, grids } = await read(one);
    const x = one.tensors.get("vision.patch_embed")!.data as Float32Array;
    const want = one.tensors.get("vision.block_in")!.data as Float32Array;
    const T = x.length / c.hidden;
    const added = (corners: number[], weights: number[]) =>
      reference.addPositions(
        x,
        table,
        { corners: Uint32Array.from(corners), weights: Float32Array.from(weights) },
        { T, C: c.hidden },
      );
    const corners = stacked(grids, (grid) => positionCorners(grid, c.side).corners);
    const weights = stacked(grids, (grid) => positionCorners(grid, c.side).weights);
    expectClose(added(corners, weights), want, 2e-6);
    // Known bad: places looked up row by row, not block by block.
    const rowMajor = stacked(grids, (grid) => positionCorners({ ...grid, merge: 1 }, c.side).corners);
    const rowMajorWeights = stacked(grids, (grid) => positionCorners({ ...grid, merge: 1 }, c.side).weights);
    expect(() => expectClose(added(rowMajor, rowMajorWeights), want, 1e-3)).toThrow("error");
    // Known bad: the nearest place for the four around.
    const nearest = weights.map((_, i) => (i % 4 === 0 ? 1 : 0));
    expect(() => expectClose(added(corners, nearest), want, 1e-3)).toThrow("error");
  });

  test.each(cases)("$folder $name: angles", async (one) => {
    const { c, grids } = await read(one);
    const quarter = c.headDim / 4;
    const table = visionRopeTable(64, c.headDim);
    const places = stacked(grids, patchPlaces);
    const angles = (part: 0 | 1) =>
      places.flatMap((place) =>
        Array.from({ length: quarter }, (_, i) => table[2 * (place * quarter + i) + part]!),
      );
    for (const [part, name] of [
      [0, "cos"],
      [1, "sin"],
    ] as const) {
      const golden = one.tensors.get(`vision.rope.${name}`)!.data as Float32Array;
      const firstHalf = golden.filter((_, i) => i % c.headDim < c.headDim / 2); // the second repeats it
      expectClose(angles(part), firstHalf, 1e-6, name);
    }
  });
});

test("corners lie on the grid: its ends at the picture's ends, weights sum to one", () => {
  for (const [rows, columns] of [
    [2, 2],
    [4, 10],
    [96, 2],
    [48, 50],
  ] as const) {
    const { corners, weights } = positionCorners({ rows, columns, merge: 2 }, 48);
    for (let t = 0; t < rows * columns; t += 1) {
      const sum = weights.subarray(4 * t, 4 * t + 4).reduce((total, w) => total + w, 0);
      expect(Math.abs(sum - 1)).toBeLessThan(1e-6);
    }
    expect(Math.max(...corners)).toBeLessThan(48 * 48);
    expect([corners[0], weights[0]]).toEqual([0, 1]);
    expect([corners.at(-4), weights.at(-4)]).toEqual([48 * 48 - 1, 1]);
  }
});
