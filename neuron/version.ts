// Which neuron this is.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { packageRoot } from "../engine/root.ts";
import type { Version } from "./protocol.ts";

export const version = versionIn(join(packageRoot, "package.json"));

export function versionReport(): Version {
  const webgpu = createRequire(import.meta.url).resolve("webgpu/package.json");
  return {
    name: "neuron",
    version,
    node: process.versions.node,
    platform: `${process.platform}-${process.arch}`,
    webgpu: versionIn(webgpu),
  };
}

function versionIn(path: string): string {
  return (JSON.parse(readFileSync(path, "utf8")) as { version: string }).version;
}
