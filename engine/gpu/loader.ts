import { readFileSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { findSwiftshader, unpackSwiftshader } from "./software.ts";

/** Where libvulkan.so.1 came from. "builtin": this platform needs none (Metal, D3D12). */
export type Loader = "builtin" | "system" | "carried" | "missing";

const library = "libvulkan.so.1";
const keepLoaded = 0x1000; // RTLD_NODELETE, which os.constants lacks

let loader: Loader | undefined;

/**
 * Loads the Vulkan loader into the process: the system's, else the one that comes with SwiftShader. Dawn later asks
 * for it by its bare name and is given the copy already loaded.
 */
export function ensureLoader(): Loader {
  loader ??= process.platform === "linux" ? load() : "builtin";
  return loader;
}

function load(): Loader {
  if (tryLoad(library)) return "system";
  const swiftshader = findSwiftshader();
  return swiftshader && tryLoad(join(unpackSwiftshader(swiftshader), library)) ? "carried" : "missing";
}

/** Always throws, because the library is no addon of Node; what counts is whether it has stayed in the process. */
function tryLoad(file: string): boolean {
  try {
    process.dlopen(
      { exports: {} },
      file,
      constants.dlopen.RTLD_NOW | constants.dlopen.RTLD_GLOBAL | keepLoaded,
    );
  } catch {
    // looked up below
  }
  return readFileSync("/proc/self/maps", "utf8").includes("/libvulkan.so");
}
