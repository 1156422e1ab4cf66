// Lines of `cortex check` and `cortex validate`: what was looked at, how it is, and why.

import pc from "picocolors";

export interface Finding {
  verdict: "pass" | "FAIL" | "note" | "skip";
  what: string;
  text: string;
}

const paint = { pass: pc.green, FAIL: pc.red, note: pc.yellow, skip: pc.dim };

/** `pass  chat  "Paris." in 0.41 s`; colours only where a person looks. */
export function findingLine({ verdict, what, text }: Finding, width: number, coloured: boolean): string {
  const word = verdict.padEnd(4);
  return `${coloured ? paint[verdict](word) : word}  ${what.padEnd(width)}  ${text}`.trimEnd();
}

export function allPass(findings: readonly Finding[]): boolean {
  return findings.every(({ verdict }) => verdict !== "FAIL");
}
