// `neuron chat` as a process: one answer for a script, and the chat itself on a real terminal, where `script` gives one.

import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { packageRoot } from "../../engine/root.ts";
import { emptyModelFolder, startDaemon } from "../daemon.fixture.ts";
import type { Daemon } from "../daemon.fixture.ts";
import { content, finished, hello, reasoning, started } from "../fake-engine.fixture.ts";

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
  // A real pipe: what Node gives a child is a socket, which some leave open for ever.
  const line = piped === undefined ? '"$0" "$@"' : 'cat | "$0" "$@"';
  const child = spawn("sh", ["-c", line, ...command, ...args], { env: { ...env, ...more }, cwd: home });
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

  test("words and a pipe are one message, with what --system and --set say; thoughts go elsewhere", async () => {
    daemon.model.script = [started, reasoning("Hm."), content("42"), finished()];
    const args = ["org/fake", "Review", "this:", "--system", "Be brief.", "--set", "temperature=0.5"];
    expect(await once(["--endpoint", daemon.url, ...args], "a diff\n")).toEqual({
      ...{ code: 0, out: "42\n", err: "Hm." },
    });
    daemon.model.script = hello;
    expect(daemon.model.asked.at(-1)).toMatchObject({
      messages: [
        { role: "system", content: "Be brief." },
        { role: "user", content: "Review this:\n\na diff" },
      ],
      options: { temperature: 0.5 },
    });
  });

  test("the key of the environment is sent, and one that is named before it", async () => {
    const keys: unknown[] = [];
    const server = createServer(({ headers }, reply) => {
      keys.push(headers.authorization);
      reply.writeHead(401).end('{"error": {"message": "no", "code": "invalid_api_key"}}');
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => void server.close());
    const at = ["m", "Hi", "-e", `127.0.0.1:${(server.address() as AddressInfo).port}`];
    await once(at, "", { CORTEX_API_KEY: "a" });
    await once([...at, "--key", "b"], "", { CORTEX_API_KEY: "a" });
    expect(keys).toEqual(["Bearer a", "Bearer b"]);
  });

  test("as JSON, from a neuron of its own, which ends with it", async () => {
    const { code, out, err } = await once(
      [emptyModelFolder("own"), "Hi", "--json", "--set", "seed=3"],
      ...(["", { FAKE_SLOW: "1" }] as const),
    );
    expect([code, err]).toEqual([0, expect.stringMatching(/closed\n$/)]);
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

  test("ends when nobody reads its answer any more", async () => {
    const more = Array.from({ length: 500 }, () => [20, content("and ")] as const).flat();
    daemon.model.script = [started, ...more, new Promise(() => {})];
    const before = daemon.model.cut;
    const line = 'exec 3>&1; { "$0" "$@"; echo "code $?" >&3; } | head -c 3 >/dev/null';
    const child = spawn("sh", ["-c", line, ...command, "org/fake", "Hi", "-e", daemon.url], {
      env,
      cwd: home,
    });
    let out = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => (out += String(data)));
    await new Promise((resolve) => child.once("close", resolve));
    daemon.model.script = hello;
    expect([out, daemon.model.cut - before]).toEqual(["code 0\n", 1]);
  });

  test("a name that is none shows before a device is opened", async () => {
    const { code, out, err } = await once(["what is this", "Hi"], "", { FAKE_SLOW: "1" });
    expect([code, out, err]).toEqual([
      1,
      "",
      expect.stringMatching(/^error: what is this: neither[^\n]+\n$/),
    ]);
  });

  test.each([
    ["nothing to say", [], "nothing to say: neuron chat MODEL"],
    ["a wrong setting", ["m", "hi", "--set", "heat=1"], 'there is no setting "heat"'],
    ["a setting without a value", ["m", "hi", "--set", "seed"], "--set seed: expected name=value"],
    ["a setting without a value", ["m", "hi", "--set", "seed="], "--set seed=: expected name=value"],
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

test.skipIf(!hasTerminal)("on a terminal --json wants a message", { timeout: 60_000 }, () => {
  const line = [...command, "org/fake", "--json"].map((word) => `'${word}'`).join(" ");
  const { status, stdout } = spawnSync("script", ["-qefc", line, "/dev/null"], { env, cwd: home });
  expect([status, String(stdout)]).toEqual([1, expect.stringContaining("--json is for one answer")]);
});

test.skipIf(!hasTerminal)(
  "on a terminal: prompt, answer, history, Ctrl-C, Ctrl-D",
  { timeout: 60_000 },
  async () => {
    const line = [...command, "org/fake", "--endpoint", daemon.url].map((word) => `'${word}'`).join(" ");
    const child = spawn("script", ["-qefc", line, "/dev/null"], { env, cwd: home });
    let shown = "";
    child.stdout.on("data", (data) => (shown += String(data)));
    const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
    /** Waits for the next prompt, with nothing behind it, then types: the history's line has a prompt before it too. */
    let read = 0;
    async function type(text: string): Promise<void> {
      while (!/>>> (\x1b\[5G)?$/.test(shown.slice(read))) await sleep(20);
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
