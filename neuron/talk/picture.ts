// A picture file as a data: URI, which is how chat requests carry it.

import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { basename, join } from "node:path";
import { EngineError } from "../../engine/errors.ts";
import { whyNot } from "../../kit/settings.ts";
import type { Picture } from "./conversation.ts";

const kinds: { type: string; starts: (bytes: Buffer) => boolean }[] = [
  { type: "png", starts: (bytes) => bytes.subarray(1, 4).toString("latin1") === "PNG" },
  { type: "jpeg", starts: (bytes) => bytes[0] === 0xff && bytes[1] === 0xd8 },
  { type: "gif", starts: (bytes) => bytes.subarray(0, 4).toString("latin1") === "GIF8" },
  { type: "webp", starts: (bytes) => bytes.subarray(8, 12).toString("latin1") === "WEBP" },
  { type: "avif", starts: (bytes) => bytes.subarray(4, 12).toString("latin1") === "ftypavif" },
];

/** Terminals paste a dropped file's path in quotes, or with its spaces escaped. Throws bad_request. */
export async function readPicture(said: string): Promise<Picture> {
  const bare = /^(['"])(.*)\1$/.exec(said.trim())?.[2] ?? said.trim().replaceAll("\\ ", " ");
  const path = bare.startsWith("~/") ? join(homedir(), bare.slice(2)) : bare;
  const bytes = await readFile(path).catch((error: unknown) => {
    throw new EngineError("bad_request", `cannot read ${path}: ${whyNot(error)}`);
  });
  const kind = kinds.find(({ starts }) => starts(bytes));
  if (!kind) {
    const known = kinds.map(({ type }) => type).join(", ");
    throw new EngineError("bad_request", `${path} is no picture of a kind that models take (${known})`);
  }
  return { name: basename(path), url: `data:image/${kind.type};base64,${bytes.toString("base64")}` };
}
