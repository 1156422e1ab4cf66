// A GGUF file, or the parts that it was split into, read by ranges: opening reads the heads alone.
import { basename, dirname, join } from "node:path";
import { bad } from "../header.ts";
import { openRanges, type RangeFile } from "../ranges.ts";
import { tensorFile, type TensorFile } from "../safetensors.ts";
import { parseHead, type GgufHead } from "./parse.ts";
import type { Metadata } from "./types.ts";

export interface GgufFile extends TensorFile {
  readonly version: 2 | 3;
  readonly metadata: Metadata;
}

/** What is read first; heads with large vocabularies take several times that. */
const firstRead = 1 << 20;

/** `NAME-00001-of-00003.gguf` */
export const partName = /^(.+)-(\d{5})-of-(\d{5})\.gguf$/;

/** Opens and checks one file. Errors: bad_checkpoint (see parse.ts); the file is closed then. */
export async function openGguf(path: string): Promise<GgufFile> {
  const file = await openRanges(path);
  try {
    const { version, metadata, tensors } = await readHead(file);
    return { ...tensorFile(file, tensors), version, metadata };
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function readHead(file: RangeFile): Promise<GgufHead> {
  for (let length = firstRead; ; length *= 4) {
    const first = new Uint8Array(Math.min(length, file.size));
    await file.read(0, first);
    const head = parseHead(first, file.path, file.size);
    if (head) return head;
  }
}

/**
 * Opens a file and, where it is a part, all parts, in order; the first holds the metadata.
 * Errors: bad_checkpoint, also for parts that are missing or of another set.
 */
export async function openGgufParts(path: string): Promise<GgufFile[]> {
  const files: GgufFile[] = [];
  try {
    for (const part of partsOf(path)) files.push(await openGguf(part));
    checkSplit(files);
    return files;
  } catch (error) {
    await Promise.all(files.map((file) => file.close()));
    throw error;
  }
}

/** Every part that a part's name calls for; the path alone when it is not a part. */
export function partsOf(path: string): string[] {
  const [, stem, number, of] = partName.exec(basename(path)) ?? [];
  if (!(Number(number) >= 1 && Number(number) <= Number(of))) return [path];
  return Array.from({ length: Number(of) }, (_, i) =>
    join(dirname(path), `${stem}-${String(i + 1).padStart(5, "0")}-of-${of}.gguf`),
  );
}

function checkSplit(files: readonly GgufFile[]): void {
  const total = files[0]!.metadata.get("split.tensors.count");
  for (const [i, { path, metadata }] of files.entries()) {
    const count = metadata.get("split.count") ?? 1;
    const number = metadata.get("split.no") ?? 0;
    if (count !== files.length && !(count === 0 && files.length === 1)) {
      const hint =
        files.length === 1 ? "; its name must end in -00001-of-0000N.gguf for the others to be found" : "";
      throw bad(path, `metadata split.count is ${String(count)}, and there are ${files.length} parts${hint}`);
    }
    if (number !== i)
      throw bad(path, `metadata split.no is ${String(number)}, and it is part ${i} counted from 0`);
  }
  const found = files.reduce((sum, { tensors }) => sum + tensors.size, 0);
  if (files.length > 1 && total !== undefined && total !== found) {
    throw bad(
      files[0]!.path,
      `metadata split.tensors.count is ${String(total)}, and the parts hold ${found} tensors`,
    );
  }
}
