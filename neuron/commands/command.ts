// What a command is made of. Every command is one file here and one line of the table in index.ts; help, completion and
// the reference in docs/ are generated from what it tells commander.

import type { Command } from "commander";
import type { DaemonDeps } from "../daemon.ts";

/** What commands take from outside; tests bring their own. */
export interface World {
  env: NodeJS.ProcessEnv;
  openEngine: DaemonDeps["openEngine"];
}

/** 0 done; 1 it failed; 2 it could not be tried: wrong usage. */
export type ExitCode = number;

/** Makes an action of a handler: commander's arguments follow the world, and the result is the process's exit code. */
export type Act = <A extends unknown[]>(
  handler: (world: World, ...args: A) => Promise<ExitCode>,
) => (...args: A) => Promise<void>;

/** Adds one command to the program. */
export type AddCommand = (program: Command, act: Act) => void;

export function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
