// The command line as a process: exit codes, one-line errors, signals.

import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { mkdirSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, test } from "vitest";
import { EngineError } from "../engine/errors.ts";
import { packageRoot } from "../engine/root.ts";
import { neuron as inProcess } from "./command.fixture.ts";
import { emptyModelFolder, json, post } from "./daemon.fixture.ts";
import { startHub } from "./hub.fixture.ts";

const running = new Set<ChildProcess>();
afterEach(() => {
  for (const child of running) child.kill("SIGKILL");
});

interface Process {
  child: ChildProcess;
  out: () => string;
  err: () => string;
  code: Promise<number | null>;
}

function neuron(args: string[], env: NodeJS.ProcessEnv = {}, ipc = false): Process {
  const hook = join(packageRoot, "test-fixtures", "typescript.mjs");
  const script = join(packageRoot, "neuron", "main.fixture.ts");
  const child = spawn(process.execPath, ["--import", hook, script, ...args], {
    cwd: mkdtempSync(join(tmpdir(), "neuron-cli-")),
    env: { PATH: process.env["PATH"], HOME: "/nowhere", ...env },
    stdio: ipc ? ["ignore", "pipe", "pipe", "ipc"] : ["ignore", "pipe", "pipe"],
  });
  running.add(child);
  let [out, err] = ["", ""];
  child.stdout!.on("data", (data) => (out += String(data)));
  child.stderr!.on("data", (data) => (err += String(data)));
  const code = new Promise<number | null>((resolve) => child.once("close", resolve));
  void code.then(() => running.delete(child));
  return { child, out: () => out, err: () => err, code };
}

/** The address of a daemon, once it says that it is ready. */
async function ready({ err, code }: Process): Promise<string> {
  let ended = false;
  void code.then(() => (ended = true));
  for (;;) {
    const address = /^ready: (http:\S+)\/v1 serves/m.exec(err())?.[1];
    if (address) return address;
    if (ended) throw new Error(`it ended: ${err()}`);
    await sleep(20);
  }
}

/** A command in this process, where no device can be opened: its exit code and what it printed. */
async function command(args: string[], env: NodeJS.ProcessEnv = {}): Promise<[number, string, string]> {
  const { code, out, err } = await inProcess(args, env, () =>
    Promise.reject(new EngineError("no_adapter", "no adapter is called x; there are: y")),
  );
  return [code, out, err];
}

function tokenFolder(): string {
  const home = mkdtempSync(join(tmpdir(), "neuron-hf-"));
  mkdirSync(join(home, "token"));
  return home;
}

test("a cache below a file is a cache with nothing in it", async () => {
  const [code, out, err] = await command(["ls", "--quiet"], { HF_HOME: import.meta.filename });
  expect([code, out, err]).toEqual([0, "demo\n", ""]);
});

describe("errors at start", () => {
  test.each([
    ["no adapter", [], {}, 1, "error: no adapter is called x; there are: y"],
    [
      "a missing model folder",
      ["--model", "/no/model"],
      {},
      1,
      "error: model folder /no/model does not exist",
    ],
    [
      "no name of a model",
      ["--model", "what"],
      {},
      1,
      "error: what: neither a folder or .gguf file here, nor a hub name",
    ],
    ["a missing file", ["--config", "no.toml"], {}, 1, "cannot be read: there is no such file"],
    [
      "an unknown variable",
      [],
      { NEURON_HTTP__COLOUR: "5" },
      1,
      "error: NEURON_HTTP__COLOUR: http.colour: unknown key",
    ],
    ["a wrong variable", [], { NEURON_PORT: "x" }, 1, "port: Invalid type: Expected number"],
    ["an unknown flag", ["--colour"], {}, 2, "unknown option '--colour'"],
    ["a wrong flag", ["--port", "x"], {}, 2, "'-p, --port <number>' argument 'x' is invalid"],
    ["a wrong choice", ["--log-level", "loud"], {}, 2, "Allowed choices are debug, info"],
    ["an unknown command", ["dance"], {}, 2, "unknown command 'dance'"],
    ["a word too many", ["serve", "demo"], {}, 2, "too many arguments for 'serve'"],
    ["a word too many", ["ls", "demo"], {}, 2, "too many arguments for 'ls'"],
    ["no address", ["chat", "m", "hi", "-e", "http://"], {}, 2, "Expected http://host:port."],
    [
      "a token that is a folder",
      ["ls"],
      { HF_HOME: tokenFolder() },
      1,
      "/token cannot be read: it is a folder",
    ],
    ["a cache that is a file", ["ls", "--cache-dir", import.meta.filename], {}, 1, "is a file, not a folder"],
    ["a missing argument", ["pull"], {}, 2, "missing required argument 'ref'"],
    [
      "flags before a command",
      ["--device", "0", "ls"],
      {},
      2,
      "options go after the command: neuron ls --device",
    ],
  ])("%s", async (_, args, env, code, words) => {
    const [got, , err] = await command(args, env);
    expect(err).toContain(words);
    expect(got).toBe(code);
    expect(err.trimEnd().split("\n").length).toBeLessThanOrEqual(2);
  });

  test("a bug shows its stack", async () => {
    const { code, err } = await inProcess([], {}, () => Promise.reject(new TypeError("ours")));
    expect([code, err]).toEqual([1, expect.stringMatching(/TypeError: ours\n +at /)]);
  });
});

describe("commands", () => {
  test("--help and --version", async () => {
    const [code, help] = await command(["--help"]);
    expect(code).toBe(0);
    for (const word of ["serve", "doctor", "devices", "verify", "pull", "ls", "--context", "Examples:"]) {
      expect(help).toContain(word);
    }
    expect((await command(["help", "ls"]))[1]).toMatch(/^Usage: neuron ls /);
    expect(await command(["--version"])).toEqual([0, expect.stringMatching(/^\d+\.\d+\.\d+\n$/), ""]);
  });

  test("pull, then ls, then offline", async () => {
    const hub = await startHub({
      "config.json": "{}",
      "tokenizer.json": "{}",
      "model.safetensors": "weights",
    });
    const env = { HF_HUB_CACHE: mkdtempSync(join(tmpdir(), "neuron-hub-")), HF_ENDPOINT: hub.endpoint };
    const [code, pulled] = await command(["pull", "org/tiny", "--json"], env);
    const path = join(env.HF_HUB_CACHE, "models--org--tiny", "snapshots", hub.commit);
    expect([code, JSON.parse(pulled)]).toEqual([0, { id: "org/tiny", path }]);
    await hub.close();
    const [, listed] = await command(["ls", "--json"], env);
    expect(JSON.parse(listed)).toContainEqual({
      ...{ id: "org/tiny", bytes: 11, format: "safetensors", complete: true, path },
    });
    expect((await command(["ls"], env))[1]).toMatch(/^org\/tiny +1 kB {2}safetensors {2}complete/m);
    expect((await command(["ls", "-q", "--cache-dir", env.HF_HUB_CACHE]))[1]).toMatch(/^org\/tiny$/m);
    const [failed, , err] = await command(["pull", "org/tiny"], env);
    expect([failed, err]).toEqual([1, expect.stringContaining("cannot list org/tiny at http")]);
    const [offline, out] = await command(["pull", "org/tiny"], { ...env, HF_HUB_OFFLINE: "1" });
    expect([offline, out]).toEqual([0, `${path}\n`]);
  });
});

// A machine with much else to do starts a process slowly.
describe("the daemon as a process", { timeout: 60_000 }, () => {
  test.each(["SIGINT", "SIGTERM"] as const)(
    "%s with nothing running ends it at once, with 0",
    async (signal) => {
      const daemon = neuron(["--port", "0", "--model", emptyModelFolder()]);
      const url = await ready(daemon);
      // An idle connection that is kept alive must not hold it.
      await json(fetch(`${url}/health`));
      const started = performance.now();
      daemon.child.kill(signal);
      expect(await daemon.code).toBe(0);
      expect(performance.now() - started).toBeLessThan(5000);
    },
  );

  test("a running stream gets its time, then a last word", async () => {
    const env = { FAKE_ENDLESS: "1", NEURON_HTTP__DRAIN_S: "0.3" };
    const daemon = neuron(["--port", "0", "--model", emptyModelFolder("endless")], env);
    const url = await ready(daemon);
    const [{ id }] = await json(fetch(`${url}/models`));
    const body = { model: id, stream: true, messages: [{ role: "user", content: "hi" }] };
    const answer = await post(`${url}/v1/chat/completions`, body);
    daemon.child.kill("SIGTERM");
    const text = await answer.text();
    expect(text).toContain('"content":"Hel"');
    expect(text).toMatch(/"code":"shutting_down"[^{}]*\}\}\n\n$/);
    expect(await daemon.code).toBe(0);
  });

  test("a second Ctrl-C does not wait, but one key is one key", async () => {
    const env = { FAKE_ENDLESS: "1", NEURON_HTTP__DRAIN_S: "60" };
    const daemon = neuron(["--port", "0", "--model", emptyModelFolder("endless")], env);
    const url = await ready(daemon);
    const [{ id }] = await json(fetch(`${url}/models`));
    const body = { model: id, stream: true, messages: [{ role: "user", content: "hi" }] };
    const answer = await post(`${url}/v1/chat/completions`, body);
    const cut = answer.text().catch(() => "cut");
    // As npx does it: the same key twice. It asks once.
    daemon.child.kill("SIGINT");
    daemon.child.kill("SIGINT");
    await sleep(1000);
    expect(daemon.child.exitCode).toBeNull();
    daemon.child.kill("SIGINT");
    expect(await daemon.code).toBe(1);
    expect(daemon.err()).toContain("ended at once");
    expect(await cut).toBe("cut");
  });

  test("Ctrl-C while the device is being opened: it is closed first", async () => {
    const daemon = neuron(["--port", "0", "--model", emptyModelFolder()], { FAKE_SLOW: "1" });
    while (!daemon.err().includes("opening")) await sleep(20);
    daemon.child.kill("SIGINT");
    expect(await daemon.code).toBe(0);
    expect(daemon.err()).toContain("closed\n");
  });

  test("ends with the parent that started it", async () => {
    const daemon = neuron(["--port", "0", "--model", emptyModelFolder()], {}, true);
    await ready(daemon);
    const exited = new Promise((resolve) => daemon.child.once("exit", resolve));
    daemon.child.disconnect();
    expect(await exited).toBe(0);
  });
});
