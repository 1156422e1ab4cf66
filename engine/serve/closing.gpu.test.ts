// Dawn takes a process along whose thread ends while it is owed a result: so the process that ends in mid-load is another.
import { spawn } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";
import { packageRoot } from "../root.ts";

test("a process can end in mid-load", { timeout: 240_000 }, async () => {
  const hook = join(packageRoot, "test-fixtures/typescript.mjs");
  const child = spawn(process.execPath, ["--import", hook, join(import.meta.dirname, "closing.fixture.ts")]);
  let out = "";
  let err = "";
  child.stdout.on("data", (data) => (out += String(data)));
  child.stderr.on("data", (data) => (err += String(data)));
  const ended = await new Promise((resolve) =>
    child.once("close", (code, signal) => resolve({ code, signal })),
  );
  expect(ended, err).toEqual({ code: 0, signal: null });
  const said = out
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as { outcome: string });
  expect(said.length).toBeGreaterThan(0);
  for (const { outcome } of said) expect(outcome).toBe("shutting_down");
});
