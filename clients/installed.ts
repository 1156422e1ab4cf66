// The pinned clients of package.json beside this file, installed once into .cache/clients, which git ignores.

import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const pins = join(import.meta.dirname, "package.json");
const folder = join(import.meta.dirname, "..", ".cache", "clients");
const mark = join(folder, "installed.json");

/** Their own programs for this platform are put in place by these; npm 11 runs no install scripts. */
const postinstalls = ["@anthropic-ai/claude-code/install.cjs", "opencode-ai/postinstall.mjs"];

/** Some minutes the first time. */
export function installClients(): void {
  const wanted = readFileSync(pins, "utf8");
  if (existsSync(mark) && readFileSync(mark, "utf8") === wanted) return;
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "package.json"), wanted);
  console.log(`installing the clients into ${folder}`);
  // The engines they name are younger than what they run on.
  const flags = ["--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error", "--ignore-scripts"];
  execFileSync("npm", ["install", ...flags], { cwd: folder, stdio: "inherit" });
  for (const script of postinstalls) {
    const path = join(folder, "node_modules", script);
    execFileSync(process.execPath, [path], { cwd: join(path, ".."), stdio: "inherit" });
  }
  writeFileSync(mark, wanted);
}

export function binary(name: string): string {
  return join(folder, "node_modules", ".bin", name);
}
