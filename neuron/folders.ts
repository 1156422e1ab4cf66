// Folders to write to, or the reason why not.

import { constants } from "node:fs";
import { access, mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { EngineError } from "../engine/errors.ts";
import { whyNot } from "../kit/settings.ts";

/** Makes a folder with those above it. Errors: bad_config when that, or writing into it, is not possible. */
export async function writableFolder(path: string): Promise<void> {
  try {
    await make(path);
    await access(path, constants.W_OK);
  } catch (cause) {
    const why = whyNot(cause);
    throw new EngineError("bad_config", `${path} cannot be written to: ${why}`, {}, { cause });
  }
}

/** mkdir's own `recursive` tries for ever where nobody can make folders (/proc, with Node 20). */
async function make(path: string, isThereAbove = false): Promise<void> {
  try {
    await mkdir(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EEXIST") return;
    if (code !== "ENOENT" || isThereAbove || dirname(path) === path) throw error;
    await make(dirname(path));
    await make(path, true);
  }
}
