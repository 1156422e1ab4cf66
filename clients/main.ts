// npm run test:clients: installs the clients, then runs them. Where the system lets an ordinary user have a network of
// his own (Linux), they run in one which has nothing but loopback; elsewhere a proxy that lets nothing through must do.

import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { installClients } from "./installed.ts";

const root = join(import.meta.dirname, "..");
const vitest = join(root, "node_modules/vitest/vitest.mjs");
const config = join(import.meta.dirname, "vitest.config.ts");
const tests = [process.execPath, vitest, "run", "--config", config, ...process.argv.slice(2)];

installClients();
const sealed = [
  "unshare",
  "--user",
  "--map-root-user",
  "--net",
  "--",
  "sh",
  "-c",
  'ip link set lo up && exec "$@"',
  "sh",
];
const canSeal = spawnSync(sealed[0]!, [...sealed.slice(1), "true"]).status === 0;
console.log(
  canSeal
    ? "the clients have loopback and no other network"
    : "the clients are behind a proxy that lets nothing through",
);
const [program, ...args] = canSeal ? [...sealed, ...tests] : tests;
process.exitCode = spawnSync(program!, args, { cwd: root, stdio: "inherit" }).status ?? 1;
