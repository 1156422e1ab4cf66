import { deflateSync } from "node:zlib";
import sharp from "sharp";
import { describe, expect, test } from "vitest";
import { decodeImage, sniff } from "./decode.ts";

const limits = { pixels: 1_000_000 };
const [width, height] = [48, 33];

/** Red grows to the right, green downwards, blue in steps that neither side divides. */
const gradient = Uint8Array.from({ length: width * height * 3 }, (_, i) => {
  const [x, y] = [Math.floor(i / 3) % width, Math.floor(i / 3 / width)];
  return [x * 5, y * 7, (x * 3 + y * 11) % 97][i % 3]!;
});
const source = () => sharp(gradient, { raw: { width, height, channels: 3 } });

function worst(got: Uint8Array, want: Uint8Array): number {
  expect(got.length).toBe(want.length);
  return got.reduce((most, value, i) => Math.max(most, Math.abs(value - want[i]!)), 0);
}

describe("formats", () => {
  test.each([
    ["PNG", () => source().png(), 0],
    ["PNG", () => source().png({ palette: true, colours: 256, dither: 0 }), 40],
    ["JPEG", () => source().jpeg({ quality: 100, chromaSubsampling: "4:4:4" }), 6],
    ["WebP", () => source().webp({ lossless: true }), 0],
    ["AVIF", () => source().avif({ lossless: true }), 4],
    ["GIF", () => source().gif({ dither: 0 }), 60],
  ] as const)("%s", async (format, make, tolerance) => {
    const bytes = await make().toBuffer();
    expect(sniff(bytes)).toBe(format);
    const picture = await decodeImage(bytes, limits);
    expect([picture.width, picture.height]).toEqual([width, height]);
    expect(worst(picture.rgb, gradient)).toBeLessThanOrEqual(tolerance);
  });

  test("the first frame of an animation", async () => {
    const frames = [
      [255, 0, 0],
      [0, 0, 255],
    ].map((colour) => Buffer.from(Array.from({ length: 8 * 6 }, () => colour).flat()));
    for (const format of ["gif", "webp"] as const) {
      const stacked = sharp(Buffer.concat(frames), {
        raw: { width: 8, height: 12, channels: 3, pageHeight: 6 },
      });
      const bytes = await stacked.toFormat(format, { lossless: true }).toBuffer();
      expect((await sharp(bytes).metadata()).pages).toBe(2);
      const picture = await decodeImage(bytes, limits);
      expect([picture.width, picture.height]).toEqual([8, 6]);
      expect([...picture.rgb.slice(0, 3)]).toEqual([255, 0, 0]);
    }
  });
});

describe("what a file may hold", () => {
  test("grey, and grey with alpha", async () => {
    const grey = Uint8Array.from({ length: 20 * 10 }, (_, i) => i);
    const plain = await sharp(grey, { raw: { width: 20, height: 10, channels: 1 } })
      .toColourspace("b-w")
      .png()
      .toBuffer();
    const { rgb } = await decodeImage(plain, limits);
    expect(rgb).toEqual(Uint8Array.from(gradientOf(200, (i) => [i, i, i])));
    const pairs = Uint8Array.from({ length: 400 }, (_, i) => (i % 2 === 0 ? grey[i / 2]! : 7));
    const bytes = await sharp(pairs, { raw: { width: 20, height: 10, channels: 2 } })
      .toColourspace("b-w")
      .png()
      .toBuffer();
    expect((await sharp(bytes).metadata()).channels).toBe(2);
    expect((await decodeImage(bytes, limits)).rgb).toEqual(rgb);
  });

  test("alpha is dropped, as the reference does, not blended", async () => {
    const rgba = Uint8Array.from(gradientOf(30 * 20, (i) => [i % 256, 90, 200, i % 3 === 0 ? 0 : 100]));
    for (const encode of ["png", "webp"] as const) {
      const bytes = await sharp(rgba, { raw: { width: 30, height: 20, channels: 4 } })
        .toFormat(encode, { lossless: true, exact: true })
        .toBuffer();
      const { rgb } = await decodeImage(bytes, limits);
      expect(rgb).toEqual(Uint8Array.from(gradientOf(600, (i) => [i % 256, 90, 200])));
    }
  });

  test("16 bits are cut to 8", async () => {
    const deep = Uint16Array.from(gradientOf(30 * 20, (i) => [i * 109, 0x80ff, 65_535]));
    const raw = { width: 30, height: 20, channels: 3 } as const;
    const bytes = await sharp(deep, { raw }).toColourspace("rgb16").png().toBuffer();
    expect((await sharp(bytes).metadata()).depth).toBe("ushort");
    const { rgb } = await decodeImage(bytes, limits);
    expect(rgb).toEqual(Uint8Array.from(deep, (v) => v >> 8));
  });

  test("CMYK: ink is taken from white", async () => {
    const bytes = await source()
      .toColourspace("cmyk")
      .jpeg({ quality: 100, chromaSubsampling: "4:4:4" })
      .toBuffer();
    expect((await sharp(bytes).metadata()).space).toBe("cmyk");
    const { data } = await sharp(bytes).toColourspace("cmyk").raw().toBuffer({ resolveWithObject: true });
    const { rgb } = await decodeImage(bytes, limits);
    const at = 3 * (20 * width + 11);
    const [c, m, y, k] = data.subarray((4 * at) / 3) as unknown as [number, number, number, number];
    const want = [c, m, y].map((ink) => Math.round(((255 - ink) * (255 - k)) / 255));
    expect([...rgb.slice(at, at + 3)]).toEqual(want);
    expect(rgb[3 * (20 * width + 46)]!).toBeGreaterThan(rgb[3 * (20 * width + 1)]! + 100); // red grows to the right
  });

  test.each([1, 2, 3, 4, 5, 6, 7, 8])(
    "EXIF orientation %i: the picture stands upright",
    async (orientation) => {
      const bytes = await source().withMetadata({ orientation }).png().toBuffer();
      const picture = await decodeImage(bytes, limits);
      const turned = orientation > 4;
      expect([picture.width, picture.height]).toEqual(turned ? [height, width] : [width, height]);
      // Where the stored top left corner (black) must lie: EXIF's own table.
      const [right, bottom] = {
        1: [0, 0],
        2: [1, 0],
        3: [1, 1],
        4: [0, 1],
        5: [0, 0],
        6: [1, 0],
        7: [1, 1],
        8: [0, 1],
      }[orientation]!;
      const at = (bottom ? picture.height - 1 : 0) * picture.width + (right ? picture.width - 1 : 0);
      expect([...picture.rgb.slice(3 * at, 3 * at + 3)]).toEqual([0, 0, 0]);
      const far = picture.width * picture.height - 1 - at;
      expect([...picture.rgb.slice(3 * far, 3 * far + 2)]).toEqual([47 * 5, 32 * 7]);
    },
  );

  test("an embedded profile changes nothing, as in the reference", async () => {
    const bytes = await source().withIccProfile("p3").png().toBuffer();
    const stored = await sharp(bytes, { ignoreIcc: true }).raw().toBuffer();
    expect((await sharp(bytes).metadata()).icc).toBeDefined();
    expect((await decodeImage(bytes, limits)).rgb).toEqual(new Uint8Array(stored));
  });
});

describe("what is refused", () => {
  test.each([
    ["nothing", Buffer.alloc(0)],
    ["text", Buffer.from("<html>not found</html>")],
    ["SVG", Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')],
    ["a TIFF", Buffer.from("II*\0\x08\0\0\0")],
    ["a PDF", Buffer.from("%PDF-1.7\n")],
  ])("%s is no picture that we read", async (_, bytes) => {
    await expect(decodeImage(bytes, limits)).rejects.toMatchObject({
      code: "bad_request",
      message: expect.stringContaining("not a PNG, JPEG, WebP, GIF or AVIF"),
    });
  });

  test.each(["png", "jpeg", "webp", "gif", "avif"] as const)(
    "a %s cut short, at any length",
    async (format) => {
      const noise = Uint8Array.from({ length: 96 * 80 * 3 }, (_, i) => (i * i * 31) % 251);
      const bytes = await sharp(noise, { raw: { width: 96, height: 80, channels: 3 } })
        .toFormat(format)
        .toBuffer();
      for (const part of [0.02, 0.1, 0.3, 0.6, 0.9]) {
        const cut = bytes.subarray(0, Math.max(16, Math.floor(bytes.length * part)));
        await expect(decodeImage(cut, limits), `${part}`).rejects.toMatchObject({ code: "bad_request" });
      }
    },
  );

  test("noise behind a right beginning", async () => {
    for (const head of [
      "\x89PNG\r\n\x1a\n",
      "\xff\xd8\xff\xe0",
      "GIF89a",
      "RIFF\0\0\0\0WEBPVP8 ",
      "\0\0\0\x20ftypavif",
    ]) {
      const bytes = Buffer.concat([Buffer.from(head, "latin1"), Buffer.from(gradient)]);
      await expect(decodeImage(bytes, limits)).rejects.toMatchObject({ code: "bad_request" });
    }
  });

  test("more pixels than the limit, with both figures, before anything is decoded", async () => {
    for (const bomb of [pngBomb(50_000, 50_000), gifBomb(60_000, 60_000)]) {
      expect(bomb.length).toBeLessThan(4096);
      const before = process.memoryUsage.rss();
      await expect(decodeImage(bomb, limits)).rejects.toMatchObject({
        code: "bad_request",
        message: expect.stringMatching(/may have 1000000 pixels, this one has (50000 × 50000|60000 × 60000)/),
      });
      expect(process.memoryUsage.rss() - before).toBeLessThan(50 * 2 ** 20);
    }
    await expect(
      decodeImage(await source().png().toBuffer(), { pixels: width * height - 1 }),
    ).rejects.toThrow("1583 pixels");
    await decodeImage(await source().png().toBuffer(), { pixels: width * height });
  });

  test("hundreds of hostile files leave memory flat", async () => {
    const noise = Uint8Array.from({ length: 320 * 200 * 3 }, (_, i) => (i * i * 31) % 251);
    const good = await sharp(noise, { raw: { width: 320, height: 200, channels: 3 } })
      .jpeg()
      .toBuffer();
    const corpus = [
      pngBomb(50_000, 50_000),
      gifBomb(65_535, 9),
      good.subarray(0, 9000),
      Buffer.from("GIF89a"),
    ];
    const round = () => Promise.all(corpus.map((bytes) => decodeImage(bytes, limits).catch(() => undefined)));
    for (let i = 0; i < 40; i += 1) await round();
    const before = process.memoryUsage.rss();
    for (let i = 0; i < 150; i += 1) await round();
    expect(process.memoryUsage.rss() - before).toBeLessThan(40 * 2 ** 20);
  });
});

function gradientOf(count: number, pixel: (i: number) => number[]): number[] {
  return Array.from({ length: count }, (_, i) => pixel(i)).flat();
}

function pngBomb(w: number, h: number): Buffer {
  const chunk = (type: string, data: Buffer) => {
    const body = Buffer.concat([Buffer.from(type, "latin1"), data]);
    return Buffer.concat([u32(data.length), body, u32(crc32(body))]);
  };
  const header = Buffer.concat([u32(w), u32(h), Buffer.from([1, 0, 0, 0, 0])]);
  const data = deflateSync(Buffer.alloc(1 << 20));
  return Buffer.concat([
    Buffer.from("\x89PNG\r\n\x1a\n", "latin1"),
    chunk("IHDR", header),
    chunk("IDAT", data),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}

function gifBomb(w: number, h: number): Buffer {
  const u16 = (value: number) => Buffer.from([value & 255, value >> 8]);
  const screen = Buffer.concat([
    Buffer.from("GIF89a"),
    u16(w),
    u16(h),
    Buffer.from([0x80, 0, 0]),
    Buffer.alloc(6),
  ]);
  const frame = Buffer.concat([
    Buffer.from([0x2c, 0, 0, 0, 0]),
    u16(w),
    u16(h),
    Buffer.from([0, 2, 2, 0x4c, 1, 0]),
  ]);
  return Buffer.concat([screen, frame, Buffer.from([0x3b])]);
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}

function crc32(bytes: Buffer): number {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}
