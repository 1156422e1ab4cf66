// `neuron chat` as a process: one answer for a script, and the chat itself on a real terminal, where `script` gives one.

import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { packageRoot } from "../../engine/root.ts";
import { emptyModelFolder, startDaemon } from "../daemon.fixture.ts";
import type { Daemon } from "../daemon.fixture.ts";

const home = mkdtempSync(join(tmpdir(), "neuron-home-"));
afterAll(() => rmSync(home, { recursive: true }));
const hook = join(packageRoot, "test-fixtures", "typescript.mjs");
const command = [process.execPath, "--import", hook, join(packageRoot, "neuron", "main.fixture.ts"), "chat"];
const env = { PATH: process.env["PATH"], HOME: home, TERM: "xterm" };

let daemon: Daemon;
beforeAll(async () => {
  daemon = await startDaemon();
});
afterAll(() => daemon.close());

async function once(
  args: string[],
  piped?: string,
  more: NodeJS.ProcessEnv = {},
): Promise<{ code: number; out: string; err: string }> {
  const [program, ...rest] = [...command, ...args];
  const child = spawn(program!, rest, { env: { ...env, ...more }, cwd: home });
  let [out, err] = ["", ""];
  child.stdout.on("data", (data) => (out += String(data)));
  child.stderr.on("data", (data) => (err += String(data)));
  child.stdin.end(piped ?? "");
  const code = await new Promise<number>((resolve) => child.once("close", (status) => resolve(status ?? -1)));
  return { code, out, err };
}

describe("one answer", { timeout: 60_000 }, () => {
  test("is all that stands on standard output", async () => {
    const at = ["--endpoint", daemon.url];
    expect(await once([...at, "org/fake", "Say", "hello"])).toEqual({
      code: 0,
      out: "Hello world\n",
      err: "",
    });
    expect(await once(at, "from a pipe\n")).toMatchObject({ code: 0, out: "Hello world\n" });
    expect(daemon.model.asked.map((request) => "messages" in request && request.messages)).toMatchObject([
      [{ content: "Say hello" }],
      [{ content: "from a pipe" }],
    ]);
  });

  test("as JSON, from a neuron of its own", async () => {
    const { code, out } = await once([emptyModelFolder("own"), "Hi", "--json", "--set", "seed=3"]);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({
      content: "Hello world",
      finishReason: "stop",
      usage: { promptTokens: 11, completionTokens: 7 },
    });
  });

  test("what the answer of a neuron of its own points to is said", async () => {
    const { code, out, err } = await once([emptyModelFolder("own"), "Hi"], "", { FAKE_BUG: "1" });
    expect([code, out]).toEqual([1, ""]);
    const [, request] = /the daemon's log tells more under request (\S+) /.exec(err)!;
    expect(err).toContain(`error: ${request} POST /v1/chat/completions: Error: a mistake of ours\n    at `);
  });

  test("a load of its own that fails is told by its reason alone", async () => {
    const { code, out, err } = await once(["org/none", "Hi"], "", { HF_HUB_OFFLINE: "1" });
    expect([code, out]).toEqual([1, ""]);
    expect(err).toMatch(/^error: [^\n]*org\/none[^\n]*\n$/);
  });

  test.each([
    ["nothing to say", [], "nothing to say: neuron chat MODEL"],
    ["a wrong setting", ["m", "hi", "--set", "heat=1"], 'there is no setting "heat"'],
    ["nobody there", ["m", "hi", "-e", "http://127.0.0.1:9"], "(ECONNREFUSED); is it running?"],
    ["an unknown model", ["other", "hi", "-e", "DAEMON"], "other"],
  ])("%s: one line on standard error, exit code 1", async (_, args, words) => {
    const said = await once(args.map((arg) => (arg === "DAEMON" ? daemon.url : arg)));
    expect([said.code, said.out]).toEqual([1, ""]);
    expect(said.err).toMatch(/^error: [^\n]+\n$/);
    expect(said.err).toContain(words);
  });
});

const hasTerminal = spawnSync("script", ["--version"]).status === 0;

test.skipIf(!hasTerminal)(
  "on a terminal: prompt, answer, history, Ctrl-C, Ctrl-D",
  { timeout: 60_000 },
  async () => {
    const line = [...command, "org/fake", "--endpoint", daemon.url].map((word) => `'${word}'`).join(" ");
    const child = spawn("script", ["-qefc", line, "/dev/null"], { env, cwd: home });
    let shown = "";
    child.stdout.on("data", (data) => (shown += String(data)));
    const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
    /** Waits for the next prompt, then types. */
    let read = 0;
    async function type(text: string): Promise<void> {
      while (!shown.slice(read).includes(">>> ")) await sleep(20);
      read = shown.length;
      child.stdin.write(text);
    }
    await type("Hi there\r");
    await type("\x03");
    await type("\x1b[A\r"); // the line before, again
    await type("\x04");
    expect(await ended).toBe(0);
    expect(shown.match(/Hello world/g)).toHaveLength(2);
    expect(shown).toContain("(Ctrl-D or /bye leaves)");
    expect(readFileSync(join(home, ".local/state/neuron/chat_history"), "utf8")).toBe("Hi there\n");
  },
);
