// From a file's bytes to RGB, as the reference sees it: turned upright, alpha dropped (not blended), profiles ignored,
// 16 bits cut to 8. The header is read and judged before anything is decoded.
import sharp from "sharp";
import { EngineError } from "../errors.ts";
import type { Size } from "./smartResize.ts";

export interface Picture extends Size {
  /** [height, width, 3] */
  rgb: Uint8Array;
}

type Format = "PNG" | "JPEG" | "WebP" | "GIF" | "AVIF";

/** sharp's name of what we believe a file to be. */
const sharpFormats: Record<Format, string> = {
  PNG: "png",
  JPEG: "jpeg",
  WebP: "webp",
  GIF: "gif",
  AVIF: "heif",
};

// A server's pictures are all different: nothing decoded is worth keeping, and hostile ones should leave nothing behind.
sharp.cache(false);

/** What the first bytes say, whatever the label says. */
export function sniff(bytes: Uint8Array): Format | undefined {
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.byteLength, 64)).toString("latin1");
  if (head.startsWith("\x89PNG\r\n\x1a\n")) return "PNG";
  if (head.startsWith("\xff\xd8\xff")) return "JPEG";
  if (/^GIF8[79]a/.test(head)) return "GIF";
  if (/^RIFF....WEBP/s.test(head)) return "WebP";
  if (/^....ftyp(....)*avi[fs]/s.test(head)) return "AVIF";
  return undefined;
}

/** Decodes the (first) picture of a file. Errors: bad_request, naming the limit where one was met. */
export async function decodeImage(bytes: Uint8Array, limits: { pixels: number }): Promise<Picture> {
  const format = sniff(bytes);
  if (!format) throw new EngineError("bad_request", "the file is not a PNG, JPEG, WebP, GIF or AVIF picture");
  try {
    return await decode(bytes, format, limits.pixels);
  } catch (error) {
    if (error instanceof EngineError) throw error;
    const [why] = (error instanceof Error ? error.message : String(error)).split("\n");
    throw new EngineError(
      "bad_request",
      `the ${format} file cannot be decoded: ${why}`,
      {},
      { cause: error },
    );
  }
}

async function decode(bytes: Uint8Array, format: Format, pixels: number): Promise<Picture> {
  // "error": a file cut short fails, one with oddities that other decoders forgive does not.
  const options = { failOn: "error", ignoreIcc: true, pages: 1, sequentialRead: true } as const;
  const header = await sharp(bytes, { ...options, limitInputPixels: false }).metadata();
  if (header.format !== sharpFormats[format]) throw new Error(`it reads as ${header.format}`);
  const { width, height } = header;
  if (width * height > pixels) {
    const message = `a picture may have ${pixels} pixels, this one has ${width} × ${height} = ${width * height}`;
    throw new EngineError("bad_request", message, { limit: pixels });
  }
  const image = sharp(bytes, { ...options, limitInputPixels: pixels }).autoOrient();
  const wanted = header.space === "cmyk" ? image.toColourspace("cmyk") : image.toColourspace("srgb");
  const { data, info } = await wanted.raw({ depth: "uchar" }).toBuffer({ resolveWithObject: true });
  return { width: info.width, height: info.height, rgb: toRgb(data, info.channels, header.space === "cmyk") };
}

/** Interleaved channels to RGB: grey is repeated, alpha left out, ink (0 none, 255 full) taken from white. */
function toRgb(data: Uint8Array, channels: number, ink: boolean): Uint8Array {
  if (channels === 3) return new Uint8Array(data.buffer, data.byteOffset, data.length);
  const count = data.length / channels;
  const rgb = new Uint8Array(count * 3);
  for (let i = 0; i < count; i += 1) {
    const at = i * channels;
    for (let c = 0; c < 3; c += 1) {
      const value = data[channels < 3 ? at : at + c]!;
      rgb[3 * i + c] = ink ? Math.round(((255 - value) * (255 - data[at + 3]!)) / 255) : value;
    }
  }
  return rgb;
}
