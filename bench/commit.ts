import { execFileSync } from "node:child_process";
import { packageRoot } from "../engine/root.ts";

/** The commit that is measured; "unknown" in an installed package, which has no history. */
export function commit(): string {
  try {
    return execFileSync("git", ["rev-parse", "--short", "HEAD"], {
      cwd: packageRoot,
      encoding: "utf8",
    }).trim();
  } catch {
    return "unknown"; // an installed package has no history
  }
}
