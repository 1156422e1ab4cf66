// The resize against the reference's own pixels, byte for byte. In the repository are hashes of them; where
// CORTEX_REFERENCE names the full reference, the pixels themselves, and those of the reference's other backend.
import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { moreReferences } from "../../test-fixtures/golden.ts";
import { packageRoot } from "../root.ts";
import { decodeImage } from "./decode.ts";
import { resize } from "./resample.ts";
import { smartResize } from "./smartResize.ts";

const fixtures = join(packageRoot, "test-fixtures", "preproc");
const outside = moreReferences === undefined ? undefined : join(moreReferences, "preproc");
const budget = { factor: 32, minPixels: 65_536, maxPixels: 16_777_216 };
const expected = JSON.parse(readFileSync(join(fixtures, "resized.json"), "utf8")) as Record<
  string,
  { height: number; width: number; sha256: string }
>;

async function resized(file: string) {
  const picture = await decodeImage(readFileSync(file), { pixels: 1e6 });
  const size = smartResize(picture, budget);
  return { size, rgb: await resize(picture.rgb, picture, size) };
}

test.each(Object.entries(expected))(
  "%s is the reference's, byte for byte",
  async (name, { sha256, ...size }) => {
    const got = await resized(join(fixtures, "images", name));
    expect(got.size).toEqual(size);
    const hash = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
    expect(hash(got.rgb)).toBe(sha256);
    got.rgb[1]! ^= 1;
    expect(hash(got.rgb)).not.toBe(sha256);
  },
);

test.runIf(outside).each(outside === undefined ? [] : readdirSync(join(outside, "images")))(
  "%s: equal to torchvision's, within 2 of Pillow's on less than 1 %%",
  async (name) => {
    const { rgb } = await resized(join(outside!, "images", name));
    const differences = async (backend: string) => {
      const { rgb: want } = await decodeImage(readFileSync(join(outside!, backend, name)), { pixels: 1e6 });
      return rgb.map((value, i) => Math.abs(value - want[i]!)).filter((d) => d > 0);
    };
    expect(await differences("resized_torchvision")).toHaveLength(0);
    const pillow = await differences("resized_pil");
    expect(pillow.length / rgb.length).toBeLessThan(0.01);
    expect(Math.max(0, ...pillow)).toBeLessThanOrEqual(2);
  },
);

test("a picture of the right size is left as it is, and one colour stays that colour", async () => {
  const rgb = Uint8Array.from({ length: 32 * 64 * 3 }, (_, i) => (i * 37) % 256);
  expect(await resize(rgb, { height: 32, width: 64 }, { height: 32, width: 64 })).toEqual(rgb);
  const plain = new Uint8Array(7 * 5 * 3).map((_, i) => [250, 3, 128][i % 3]!);
  const large = await resize(plain, { height: 7, width: 5 }, { height: 64, width: 96 });
  expect(large.every((value, i) => value === [250, 3, 128][i % 3])).toBe(true);
});

test("long work lets timers run", async () => {
  let ticks = 0;
  const timer = setInterval(() => (ticks += 1), 1);
  const size = { height: 1600, width: 2000 };
  await resize(new Uint8Array(size.height * size.width * 3), size, { height: 800, width: 960 });
  clearInterval(timer);
  expect(ticks).toBeGreaterThan(3);
});
