// Where the tests of this folder find checkpoints: the package's own copies, and all reference fixtures where a
// checkout of them lies beside the package.

import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../root.ts";

const beside = join(packageRoot, "..", "shared");

export const demoFolder = firstThere(
  join(packageRoot, "test-fixtures", "demo-model"),
  join(beside, "demo-model"),
);
export const demoModel = join(demoFolder, "model");

/** [name, folder] of every reference checkpoint that has the file; the package's own copy wins. */
export function referenceFolders(file: string): [string, string][] {
  const found = new Map<string, string>();
  for (const root of [join(beside, "reference"), join(packageRoot, "test-fixtures", "reference")])
    for (const name of existsSync(root) ? readdirSync(root) : [])
      if (existsSync(join(root, name, file))) found.set(name, join(root, name));
  return [...found].sort();
}

function firstThere(...folders: string[]): string {
  const there = folders.find((folder) => existsSync(join(folder, "model")));
  if (there === undefined) throw new Error(`none of these folders is there: ${folders.join(", ")}`);
  return there;
}
