// The `cortex` command as a process. The sources are stripped of their types into a folder of their own, with a fake
// neuron in the neuron's place, so that this needs no build.

import { spawn } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import ts from "typescript";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { isAlive, writeFakeNeuron } from "./fixtures/fake-neuron.fixture.ts";
import { unusedPort, until } from "./fixtures/gateway.fixture.ts";

const root = join(import.meta.dirname, "..");
const folder = mkdtempSync(join(tmpdir(), "cortex-main-"));

beforeAll(() => {
  mkdirSync(join(folder, "neuron"));
  for (const room of ["gateway", "kit"])
    for (const file of readdirSync(join(root, room), { recursive: true, encoding: "utf8" }))
      if (/^([\w-]+\/)*[\w-]+\.ts$/.test(file) && !file.startsWith("web/")) strip(`${room}/${file}`);
  for (const name of ["protocol", "openai-body", "openai-shapes"]) strip(`neuron/${name}.ts`);
  copyFileSync(join(root, "package.json"), join(folder, "package.json"));
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  writeFakeNeuron(join(folder, "neuron/main.js"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function strip(file: string): void {
  const { outputText } = ts.transpileModule(readFileSync(join(root, file), "utf8"), {
    compilerOptions: {
      ...{ module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023 },
      ...{ rewriteRelativeImportExtensions: true, verbatimModuleSyntax: true },
    },
  });
  const stripped = join(folder, file.replace(/\.ts$/, ".js"));
  mkdirSync(dirname(stripped), { recursive: true });
  writeFileSync(stripped, outputText);
}

function cortex(args: string[], files: Record<string, string> = {}) {
  const cwd = join(folder, `cwd-${Math.random()}`);
  mkdirSync(cwd);
  for (const [name, text] of Object.entries(files)) writeFileSync(join(cwd, name), text);
  const child = spawn(process.execPath, [join(folder, "gateway/main.js"), ...args], { cwd });
  const run = { child, out: "", err: "", ended: undefined as string | number | undefined };
  child.stdout.on("data", (text) => (run.out += text));
  child.stderr.on("data", (text) => (run.err += text));
  child.on("close", (code, signal) => (run.ended = signal ?? code!));
  onTestFinished(() => void child.kill("SIGKILL"));
  return run;
}

async function ended(args: string[], files?: Record<string, string>) {
  const run = cortex(args, files);
  await until(() => run.ended !== undefined);
  return run;
}

/** `cortex serve` on free ports with its local neuron. */
async function started() {
  const [listen, metrics, neuron] = [await unusedPort(), await unusedPort(), await unusedPort()];
  const toml = `[local_neuron]\nport = ${neuron}\n`;
  const args = ["serve", "--listen", `127.0.0.1:${listen}`, "--metrics-listen", `127.0.0.1:${metrics}`];
  const run = cortex(args, { "cortex.toml": toml });
  await until(() => run.out.includes("ready: demo answers"));
  const neuronPid = Number(/neuron \| pid (\d+)/.exec(run.out)![1]);
  return { ...run, run, url: `http://127.0.0.1:${listen}`, listen, neuronPid };
}

test.each(["SIGTERM", "SIGINT"] as const)(
  "serve, then %s: exit code 0, nothing left running",
  async (signal) => {
    const { run, url, child, neuronPid } = await started();
    expect(run.out).toMatch(/^configuration: .*cortex\.toml\ncortex 0\.\d+\.\d+ listens on http:\/\/127/);
    expect((await fetch(`${url}/health`)).status).toBe(200);
    const status = await ended(["status", "--endpoint", url]);
    expect([status.ended, status.out]).toEqual([0, expect.stringMatching(/^local +healthy/m)]);
    child.kill(signal);
    child.kill(signal); // npm sends it twice
    await until(() => run.ended !== undefined);
    expect([run.ended, isAlive(neuronPid)]).toEqual([0, false]);
  },
);

test("SIGHUP: the configuration is read again, a wrong one is not taken, and nothing stops", async () => {
  const { run, url, child } = await started();
  const file = /^configuration: (.*cortex\.toml)$/m.exec(run.out)![1]!;
  writeFileSync(join(dirname(file), "models.toml"), '[aliases]\nsmall = "demo"\n');
  child.kill("SIGHUP");
  await until(() => /configuration reloaded changed=models$/m.test(run.err));
  const models = await (await fetch(`${url}/v1/models`)).json();
  expect(models).toMatchObject({ data: [{ id: "demo" }, { id: "small" }] });
  writeFileSync(file, "nonsense = 1\n");
  child.kill("SIGHUP");
  await until(() => /error configuration not reloaded; the old one holds reason=.*nonsense/m.test(run.err));
  expect((await fetch(`${url}/health`)).status).toBe(200);
  child.kill("SIGTERM");
  await until(() => run.ended === 0);
});

test("a gateway that is killed takes its neuron with it", async () => {
  const { run, child, neuronPid } = await started();
  child.kill("SIGKILL");
  await until(() => run.ended === "SIGKILL" && !isAlive(neuronPid));
});

test("npm's shell is killed: the gateway and its neuron go too", async () => {
  const [listen, metrics] = [await unusedPort(), await unusedPort()];
  const command = `"${process.execPath}" gateway/main.js --listen 127.0.0.1:${listen} --metrics-listen 127.0.0.1:${metrics}; true`;
  const env = { ...process.env, npm_lifecycle_event: "start" };
  const shell = spawn("sh", ["-c", command], { cwd: folder, env });
  let out = "";
  shell.stdout.on("data", (text) => (out += text));
  await until(() => out.includes("ready: demo answers"));
  const neuronPid = Number(/neuron \| pid (\d+)/.exec(out)![1]);
  shell.kill("SIGKILL");
  await until(() => !isAlive(neuronPid));
  await expect(fetch(`http://127.0.0.1:${listen}/health`)).rejects.toThrow();
});

test("a taken port: one clear line, exit code 1, and no neuron was started", async () => {
  const server = createServer();
  const port = await unusedPort();
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  for (const flag of ["--listen", "--metrics-listen"]) {
    const other = flag === "--listen" ? "--metrics-listen" : "--listen";
    const run = await ended(["serve", flag, `127.0.0.1:${port}`, other, "127.0.0.1:0"]);
    expect([run.ended, run.err]).toEqual([
      1,
      expect.stringMatching(
        /^cortex: gateway\.\w+: cannot listen on \S+: the port is taken; is another cortex running\?\n$/,
      ),
    ]);
    expect(run.out).not.toMatch(/neuron \|/);
  }
  server.close();
});

test(
  "a local neuron that never comes up ends the gateway with exit code 1",
  { timeout: 20_000 },
  async () => {
    process.env.FAKE_NEURON = "crash";
    const run = await ended(["serve", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"]);
    delete process.env.FAKE_NEURON;
    expect([run.ended, run.err]).toEqual([
      1,
      expect.stringMatching(/^cortex: the local neuron ended 3 times/m),
    ]);
  },
);

test.each([
  [
    "a bad configuration",
    ["serve"],
    { "cortex.toml": "x = 1" },
    /^cortex: .*cortex\.toml: x: unknown key\n$/,
  ],
  [
    "a missing file",
    ["serve", "--config", "no.toml"],
    {},
    /^cortex: .*no\.toml: cannot be read: there is no such file\n$/,
  ],
  [
    "a bad address",
    ["serve", "--listen", "31313"],
    {},
    /^cortex: .*gateway\.listen: expected host:port \(got "31313"\)\n$/,
  ],
  [
    "a model beside listed neurons",
    ["serve", "--model", "x"],
    { "cortex.toml": '[[neurons]]\nname="a"\nendpoint="http://h:1"' },
    /local_neuron: is of use only/,
  ],
])("%s: one line, exit code 1", async (_, args, files, message) => {
  const run = await ended(args, files as Record<string, string>);
  expect([run.ended, run.err]).toEqual([1, expect.stringMatching(message)]);
});

test.each([
  [
    "an unknown flag",
    ["serve", "--nope"],
    /^error: unknown option '--nope'\n\(--help shows the options\)\n$/,
  ],
  [
    "a word too many",
    ["serve", "x", "y"],
    /^error: too many arguments for 'serve'. Expected 0 arguments but got 2\.\n/,
  ],
  ["an unknown command", ["dance"], /^error: unknown command 'dance'\n\(--help/],
  [
    "an option before a command",
    ["--listen", "x:1", "status"],
    /^error: options go after the command: cortex status …\n/,
  ],
])("%s: exit code 2", async (_, args, message) => {
  const run = await ended(args);
  expect([run.ended, run.err]).toEqual([2, expect.stringMatching(message)]);
});

test("listening wider is said", async () => {
  const run = cortex(["serve", "--listen", "0.0.0.0:0", "--metrics-listen", "127.0.0.1:0"]);
  await until(() => run.out.includes("/v1/chat/completions") && run.out.includes("warning:")); // two pipes
  expect(run.out).toMatch(
    /^warning: 0\.0\.0\.0:0 can be reached from other machines, and nobody is asked for a key$/m,
  );
  expect(run.out).toMatch(/^ {2}curl http:\/\/127\.0\.0\.1:\d+\/v1/m);
  run.child.kill("SIGTERM");
  await until(() => run.ended === 0);
});

test.skipIf(process.platform === "win32")("status --watch ends when nobody reads it any more", async () => {
  const line = 'exec 3>&1; { "$0" "$@"; echo "code $?" >&3; } | head -n 1 >/dev/null';
  const args = ["status", "--watch", "--interval", "0.1", "-e", "http://127.0.0.1:9"];
  const shell = spawn("sh", ["-c", line, process.execPath, join(folder, "gateway/main.js"), ...args]);
  let said = "";
  for (const stream of [shell.stdout, shell.stderr]) stream.on("data", (text) => (said += text));
  await new Promise((resolve) => shell.once("close", resolve));
  expect(said).toBe("code 0\n");
});

test("status of nobody: exit code 2; --version", async () => {
  const none = await ended(["status", "--endpoint", `http://127.0.0.1:${await unusedPort()}`]);
  expect([none.ended, none.out]).toEqual([
    2,
    expect.stringMatching(/^no gateway answers on .*: ECONNREFUSED; `cortex serve` starts one/),
  ]);
  expect((await ended(["--version"])).out).toMatch(/^\d+\.\d+\.\d+\n$/);
});
