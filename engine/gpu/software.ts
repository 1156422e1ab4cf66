// SwiftShader, a Vulkan driver that runs on the CPU, out of an npm package: nothing to install, no root. The package
// carries it beside a browser that we do not use; it is an optional peer, because a host with a GPU needs neither.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { brotliDecompressSync } from "node:zlib";
import { EngineError } from "../errors.ts";
import { cacheFolder } from "./cacheFolder.ts";
import { tarFiles } from "./tar.ts";

export const swiftshaderPackage = "@sparticuz/chromium";

const wantedFiles = ["libvk_swiftshader.so", "vk_swiftshader_icd.json", "libvulkan.so.1"];

/** Where the driver comes from and where its unpacked copy is, or would be. */
export interface Swiftshader {
  version: string;
  archive: string;
  folder: string;
}

/** The npm package's copy of SwiftShader; undefined where it is absent or made for another machine. */
export function findSwiftshader(from: string = import.meta.url): Swiftshader | undefined {
  if (process.platform !== "linux" || process.arch !== "x64") return undefined;
  const root = packageFolder(from);
  if (!root) return undefined;
  const archive = join(root, "bin", "swiftshader.tar.br");
  if (!existsSync(archive)) return undefined;
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
  return { version, archive, folder: join(cacheFolder(), `swiftshader-${version}`) };
}

/**
 * The folder with the unpacked driver, its ICD file and a Vulkan loader. Unpacked once, beside its final place and
 * then renamed, so that a process which is killed or races another leaves no half of it.
 */
export function unpackSwiftshader({ archive, folder }: Swiftshader): string {
  if (existsSync(folder)) return folder;
  try {
    mkdirSync(dirname(folder), { recursive: true });
    const fresh = mkdtempSync(`${folder}-`);
    try {
      extract(archive, fresh);
      renameSync(fresh, folder);
    } catch (error) {
      rmSync(fresh, { recursive: true, force: true });
      if (!existsSync(folder)) throw error; // else another process was quicker
    }
    return folder;
  } catch (error) {
    throw new EngineError(
      "no_adapter",
      `cannot unpack SwiftShader to ${folder}: ${(error as Error).message}; set XDG_CACHE_HOME to a writable folder`,
      { folder },
      { cause: error },
    );
  }
}

/** What tells the Vulkan loader of the driver in that folder. */
export function driverFile(folder: string): string {
  return join(folder, "vk_swiftshader_icd.json");
}

function extract(archive: string, into: string): void {
  const found = new Set<string>();
  for (const { name, data } of tarFiles(brotliDecompressSync(readFileSync(archive)))) {
    const file = basename(name);
    if (!wantedFiles.includes(file)) continue;
    writeFileSync(join(into, file), data, { mode: 0o755 });
    found.add(file);
  }
  const missing = wantedFiles.filter((f) => !found.has(f));
  if (missing.length > 0) throw new Error(`${archive} lacks ${missing.join(", ")}`);
}

/** The package's entry is some levels below its root, and its package.json is not exported. */
function packageFolder(from: string): string | undefined {
  try {
    const entry = createRequire(from).resolve(swiftshaderPackage);
    const end = entry.lastIndexOf(join("@sparticuz", "chromium")) + join("@sparticuz", "chromium").length;
    return entry.slice(0, end);
  } catch {
    return undefined;
  }
}
