// Where the tests of this folder find checkpoints: the package's own, and all that CORTEX_REFERENCE adds.

import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { moreReferences } from "../../test-fixtures/golden.ts";
import { packageRoot } from "../root.ts";

export const demoFolder = join(packageRoot, "test-fixtures", "demo-model");
export const demoModel = join(demoFolder, "model");

/** [name, folder] of every reference checkpoint that has the file; the package's own copy wins. */
export function referenceFolders(file: string): [string, string][] {
  const found = new Map<string, string>();
  const own = join(packageRoot, "test-fixtures", "reference");
  for (const root of moreReferences === undefined ? [own] : [moreReferences, own])
    for (const name of readdirSync(root))
      if (existsSync(join(root, name, file))) found.set(name, join(root, name));
  return [...found].sort();
}
