import sharp from "sharp";
import { expect, test } from "vitest";
import { defaultImageLimits } from "./limits.ts";
import { LruCache } from "./lru.ts";
import { ImagePreparer } from "./prepare.ts";
import { parseImageSettings } from "./settings.ts";

const settings = parseImageSettings({ size: { shortest_edge: 4096, longest_edge: 65_536 } }, "settings");

async function picture(width: number, height: number, format: "png" | "webp" = "png"): Promise<string> {
  const raw = { width, height, channels: 3 } as const;
  const pixels = Uint8Array.from({ length: width * height * 3 }, (_, i) => (i * 7) % 253);
  const bytes = await sharp(pixels, { raw }).toFormat(format, { lossless: true }).toBuffer();
  return `data:image/x;base64,${bytes.toString("base64")}`;
}

test("equal pictures have one hash, however they are stored; another picture has another", async () => {
  const preparer = new ImagePreparer(settings, defaultImageLimits);
  const [png, webp, other] = await Promise.all(
    [await picture(70, 90), await picture(70, 90, "webp"), await picture(90, 70)].map((url) =>
      preparer.prepare(url),
    ),
  );
  expect(webp!.hash).toBe(png!.hash);
  expect(other!.hash).not.toBe(png!.hash);
  expect(await preparer.prepare(await picture(70, 90))).toBe(png); // kept
});

test("an operator's budget takes the place of a larger one of the checkpoint", async () => {
  const url = await picture(300, 200);
  const own = await new ImagePreparer(settings, defaultImageLimits).prepare(url);
  expect(own.grid).toEqual([1, 12, 18]);
  const less = new ImagePreparer(settings, { ...defaultImageLimits, budget: 9000 });
  expect((await less.prepare(url)).grid).toEqual([1, 4, 6]);
  const more = new ImagePreparer(settings, { ...defaultImageLimits, budget: 9e9 });
  expect((await more.prepare(url)).grid).toEqual(own.grid);
});

test("what is asked for too late is not made", async () => {
  const preparer = new ImagePreparer(settings, defaultImageLimits);
  await expect(preparer.prepare(await picture(64, 64), AbortSignal.abort())).rejects.toThrow("aborted");
});

test("the least lately used goes first, and only by trim", () => {
  const gone: string[] = [];
  const cache = new LruCache<string>(10, (value) => gone.push(value));
  for (const key of ["a", "b", "c"]) cache.set(key, key.toUpperCase(), 5);
  expect([cache.size, cache.bytes, gone]).toEqual([3, 15, []]);
  expect(cache.get("a")).toBe("A");
  cache.trim();
  expect(gone).toEqual(["B"]);
  cache.set("a", "A2", 20);
  expect(gone).toEqual(["B", "A"]);
  cache.trim((key) => key === "a");
  expect([cache.size, cache.bytes, gone]).toEqual([1, 20, ["B", "A", "C"]]);
  cache.clear();
  expect([cache.size, cache.bytes, gone]).toEqual([0, 0, ["B", "A", "C", "A2"]]);
});

test.each([
  [{ size: { shortest_edge: 10, longest_edge: 5 } }, "10 pixels at least, 5 at most"],
  [{ resample: 2 }, "resample: expected 3, bicubic"],
  [{ do_normalize: false }, "do_normalize"],
  [{ patch_size: 0 }, "patch_size"],
  ["text", "the document"],
])("settings %j are refused", (json, message) => {
  expect(() => parseImageSettings(json, "preprocessor_config.json")).toThrow(message);
});
