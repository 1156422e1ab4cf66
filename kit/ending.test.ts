// A command's end, as a process whose output goes somewhere bad.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const hook = join(import.meta.dirname, "../test-fixtures/typescript.mjs");
const script = `
  const { startOutput } = await import(${JSON.stringify(join(import.meta.dirname, "ending.ts"))});
  const end = startOutput("box");
  for (let i = 0; i < Number(process.argv[1] ?? 3); i += 1) {
    if (i > 0) await new Promise((wake) => setTimeout(wake, 50));
    process.stdout.write("x".repeat(200_000));
    process.stderr.write("y".repeat(200_000));
  }
  end(3);`;

/** Under a shell that leads its output elsewhere; the exit code, and what came back. */
function run(elsewhere: string, times = 3) {
  const line = `{ "$0" --import "$1" --input-type=module -e "$2" "$3"; echo "code $?" >&3; } ${elsewhere}`;
  const args = ["-c", `exec 3>&1; ${line}`, process.execPath, hook, script, `${times}`];
  return spawnSync("sh", args, { encoding: "utf8", timeout: 30_000 });
}

test.skipIf(process.platform === "win32").each([
  ["all of it is out before the end", "| wc -c >&3", "600000"],
  ["a reader of the output that leaves", "| true", ""],
  ["a reader of the log that leaves", "2>&1 >/dev/null | true", ""],
])("%s", (_, elsewhere, out) => {
  const { stdout } = run(elsewhere);
  expect(
    stdout
      .split("\n")
      .map((line) => line.trim())
      .filter(Boolean)
      .sort(),
  ).toEqual([out, "code 3"].filter(Boolean));
});

test.skipIf(!existsSync("/dev/full")).each([3, 1])(
  "a disk that is full is told, and is a failure (%i times)",
  (times) => {
    const { stdout, stderr } = run(">/dev/full", times);
    expect(stdout).toBe("code 1\n");
    expect(stderr).toMatch(
      /y\nbox: cannot write the output: ENOSPC.*\n$|ybox: cannot write the output: ENOSPC.*\n$/,
    );
  },
);
