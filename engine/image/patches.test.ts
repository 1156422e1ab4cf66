// The rows that the tower reads: against the reference's pixel_values where it is present, and by hand.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { caseNames, loadGolden, referenceFolders } from "../../test-fixtures/golden.ts";
import { packageRoot } from "../root.ts";
import { defaultImageLimits } from "./limits.ts";
import { gridOf, patchOrder, patchRows, tokensOf } from "./patches.ts";
import { ImagePreparer } from "./prepare.ts";
import { parseImageSettings, readImageSettings, type ImageSettings } from "./settings.ts";

const settings = parseImageSettings({}, "settings");
const own = (file: string) => `data:;base64,${readFileSync(file).toString("base64")}`;

interface Counts {
  file: string;
  grid_thw: number[];
  n_image_tokens: number;
  pixel_values_shape: number[];
  sum: number;
  abs_sum: number;
  patch_sums_first8: number[];
}
const preproc = join(packageRoot, "test-fixtures", "preproc");
const { images } = JSON.parse(readFileSync(join(preproc, "cases.json"), "utf8")) as { images: Counts[] };
const here = images.filter(({ file }) => existsSync(join(preproc, file)));

test.each(here)("$file: grid, tokens and sums are the reference's", async (want) => {
  const preparer = new ImagePreparer((await readImageSettings(preproc))!, defaultImageLimits);
  const image = await preparer.prepare(own(join(preproc, want.file)));
  expect([image.grid, image.tokens]).toEqual([want.grid_thw, want.n_image_tokens]);
  const rows = patchRows(image.rgb, image, preparer.settings);
  const width = want.pixel_values_shape[1]!;
  expect(rows.length).toBe(want.pixel_values_shape[0]! * width);
  const sum = (values: Float32Array, of = (v: number) => v) => values.reduce((total, v) => total + of(v), 0);
  expect(Math.abs(sum(rows) - want.sum)).toBeLessThan(0.01);
  expect(Math.abs(sum(rows, Math.abs) - want.abs_sum)).toBeLessThan(0.01);
  for (const [i, patchSum] of want.patch_sums_first8.entries()) {
    expect(Math.abs(sum(rows.subarray(i * width, (i + 1) * width)) - patchSum)).toBeLessThan(1e-3);
  }
});

const cases = referenceFolders().flatMap((folder) =>
  caseNames(folder)
    .map((name) => ({ folder, name, golden: loadGolden(folder, name) }))
    .filter(({ golden }) => golden.tensors.has("pixel_values")),
);

test.runIf(cases.length > 0).each(cases)(
  "$folder $name: pixel_values, exactly",
  async ({ folder, golden }) => {
    const preparer = new ImagePreparer((await readImageSettings(folder))!, defaultImageLimits);
    const files = golden.inputs["images"] as string[];
    const prepared = await Promise.all(files.map((file) => preparer.prepare(own(join(folder, file)))));
    expect(prepared.map(({ grid }) => grid)).toEqual(golden.inputs["image_grid_thw"]);
    const rows = prepared.flatMap((image) => [...patchRows(image.rgb, image, preparer.settings)]);
    const want = golden.tensors.get("pixel_values")!.data as Float32Array;
    let worst = 0;
    for (let i = 0; i < want.length; i += 1) worst = Math.max(worst, Math.abs(rows[i]! - want[i]!));
    expect(rows.length).toBe(want.length);
    expect(worst).toBeLessThan(1e-6); // a byte more or less would be 7.8e-3
  },
);

test("patches go by blocks of merge × merge, values by channel, frame, row", () => {
  expect([...patchOrder(2, 6, 2)].slice(0, 6)).toEqual([
    [0, 0],
    [0, 1],
    [1, 0],
    [1, 1],
    [0, 2],
    [0, 3],
  ]);
  const small: ImageSettings = {
    ...settings,
    patch: 3,
    frames: 2,
    merge: 2,
    mean: [0, 0, 0.5],
    std: [1, 1, 0.5],
  };
  const size = { height: 6, width: 12 };
  const rgb = Uint8Array.from({ length: 6 * 12 * 3 }, (_, i) => i);
  const rows = patchRows(rgb, size, small);
  const width = 3 * 2 * 9;
  expect(gridOf(size, small)).toEqual([1, 2, 4]);
  expect(tokensOf([1, 2, 4], small)).toBe(2);
  expect(rows.length).toBe(8 * width);
  const at = (patch: number, c: number, frame: number, y: number, x: number) =>
    rows[patch * width + ((c * 2 + frame) * 3 + y) * 3 + x];
  const byte = (y: number, x: number, c: number) => rgb[(y * 12 + x) * 3 + c]!;
  expect(at(0, 1, 0, 2, 1)).toBeCloseTo(byte(2, 1, 1) / 255, 6);
  expect(at(2, 0, 1, 1, 2)).toBeCloseTo(byte(3 + 1, 2, 0) / 255, 6); // the third patch lies below the first
  expect(at(5, 2, 1, 0, 0)).toBeCloseTo(byte(0, 9, 2) / 127.5 - 1, 6);
});
