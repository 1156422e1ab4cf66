// What a command is made of. Every command is one file here and one line of the table in index.ts; help, completion and
// the reference in docs/ are generated from what it tells commander.

import type { Command } from "commander";

/** 0 done, and all is well; 1 it failed, or something is not well; 2 it could not be asked: wrong usage, or nobody answers. */
export type ExitCode = number;

/** Makes an action of a handler; its result is the process's exit code, undefined: the handler ends the process. */
export type Act = <A extends unknown[]>(
  handler: (...args: A) => Promise<ExitCode | undefined>,
) => (...args: A) => Promise<void>;

/** Adds one command to the program. */
export type AddCommand = (program: Command, act: Act) => void;

export function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
