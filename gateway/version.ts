import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** The version in the package.json above this file, which runs from gateway/ and from dist/gateway/. */
export function packageVersion(): string {
  let folder = import.meta.dirname;
  while (!existsSync(join(folder, "package.json"))) folder = dirname(folder);
  return (JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as { version: string }).version;
}
