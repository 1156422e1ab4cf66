// Lines of `cortex check` and `cortex validate`: what was looked at, how it is, and why.

import { colour } from "../../kit/colour.ts";

export interface Finding {
  verdict: "pass" | "FAIL" | "note" | "skip";
  what: string;
  text: string;
  /** Of the error behind it, where a daemon gave one, or none answered (no_answer). */
  code?: string;
}

const paint = { pass: colour.green, FAIL: colour.red, note: colour.yellow, skip: colour.dim };

/** `pass  chat  "Paris." in 0.41 s` */
export function findingLine({ verdict, what, text }: Finding, width: number): string {
  return `${paint[verdict](verdict.padEnd(4))}  ${what.padEnd(width)}  ${text}`.trimEnd();
}

/** 1 when something failed; 2 when nobody answered to begin with. */
export function exitCodeOf(findings: readonly Finding[]): 0 | 1 | 2 {
  if (allPass(findings)) return 0;
  return findings[0]!.code === "no_answer" ? 2 : 1;
}

export function allPass(findings: readonly Finding[]): boolean {
  return findings.every(({ verdict }) => verdict !== "FAIL");
}
