// Findings as they come, for people; or all of them as JSON.

import { allPass, exitCodeOf, findingLine } from "../inspect/findings.ts";
import type { Finding } from "../inspect/findings.ts";

/** The exit code. */
export async function showFindings(
  findings: AsyncIterable<Finding>,
  json: boolean,
  print: (line: string) => void,
): Promise<number> {
  const all: Finding[] = [];
  for await (const finding of findings) {
    all.push(finding);
    if (!json) print(findingLine(finding, 14));
  }
  if (json) print(JSON.stringify({ passed: allPass(all), findings: all }, undefined, 2));
  return exitCodeOf(all);
}
