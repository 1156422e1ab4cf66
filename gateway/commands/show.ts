// Findings as they come, for people; or all of them as JSON.

import { allPass, findingLine } from "../inspect/findings.ts";
import type { Finding } from "../inspect/findings.ts";

/** The exit code: 1 when something failed. */
export async function showFindings(
  findings: AsyncIterable<Finding>,
  json: boolean,
  print: (line: string) => void,
): Promise<number> {
  const all: Finding[] = [];
  const coloured = process.stdout.isTTY && !process.env["NO_COLOR"];
  for await (const finding of findings) {
    all.push(finding);
    if (!json) print(findingLine(finding, 14, coloured));
  }
  const passed = allPass(all);
  if (json) print(JSON.stringify({ passed, findings: all }, undefined, 2));
  return passed ? 0 : 1;
}
