// A thread that is stuck cannot be ended, and would keep its process from ending: so this happens in a process of its own.
import { spawn } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";
import { packageRoot } from "../root.ts";

test(
  "a stuck thread is left behind, and neither recovery nor the process's end wait for it",
  { timeout: 240_000 },
  async () => {
    const hook = join(packageRoot, "test-fixtures/typescript.mjs");
    const child = spawn(process.execPath, ["--import", hook, join(import.meta.dirname, "stuck.fixture.ts")]);
    let out = "";
    child.stdout.on("data", (data) => (out += String(data)));
    const ended = await new Promise((resolve) =>
      child.once("close", (code, signal) => resolve({ code, signal })),
    );
    const said = out
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(said[0]!["failure"]).toMatch(/a step did not end within 6 s; the request was cut off/);
    expect(said[1]).toEqual({ health: { state: "ready", losses: 1 }, same: true });
    expect(ended).toEqual({ code: null, signal: "SIGKILL" }); // by itself: Node would wait for the thread for ever
  },
);
