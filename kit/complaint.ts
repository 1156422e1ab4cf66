// How a command that fails tells a script: with --json one document on standard output in the place of the result, as
// the API's errors are. The line for people is on standard error all the same.

import { CommanderError } from "commander";
import { AnswerError } from "./client.ts";

export interface Complaint {
  message: string;
  /** Of the daemon's list of errors, or one of those of `codeOf`. */
  code: string;
  /** HTTP's, where a daemon said no. */
  status?: number;
}

/** Whether the arguments ask for JSON, which holds also where they cannot be understood. */
export function wantsJson(args: readonly string[]): boolean {
  const end = args.indexOf("--");
  return (end < 0 ? args : args.slice(0, end)).includes("--json");
}

/**
 * `codes`: of the program's own classes of errors. Beside theirs there are wrong_usage; no_answer where nobody answers at
 * an address, or not in time, or something else; the code of a daemon that said no, or request_failed; internal.
 */
export function complaintOf(error: unknown, codes: (error: Error) => string | undefined): Complaint {
  if (error instanceof CommanderError)
    return { message: error.message.replace(/^error: /, ""), code: "wrong_usage" };
  if (!(error instanceof Error)) return { message: String(error), code: "internal" };
  const { message } = error;
  if (!(error instanceof AnswerError)) return { message, code: codes(error) ?? "internal" };
  const { code, status } = error;
  return { message, code, ...(status !== undefined && { status }) };
}

export function complaintDocument(complaint: Complaint): string {
  return JSON.stringify({ error: complaint });
}
