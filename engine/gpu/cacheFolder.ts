import { homedir } from "node:os";
import { join } from "node:path";

/** Where what can be made again is kept for the next start. */
export function cacheFolder(): string {
  return join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "cortex");
}
