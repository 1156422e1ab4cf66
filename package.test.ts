// The package as a user gets it: packed, installed into an empty folder, and run there. Needs `npm run build` first,
// which `npm test` does.

import { execFileSync, spawn, spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";

const root = import.meta.dirname;
const folder = mkdtempSync(join(tmpdir(), "cortex-installed-"));
const version = (JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string }).version;
const npm = (args: string[], cwd: string) =>
  execFileSync("npm", args, { cwd, encoding: "utf8", stdio: "pipe" });
let packed: { path: string }[];

beforeAll(() => {
  if (!existsSync(join(root, "dist/neuron/main.js"))) throw new Error("nothing is built: npm run build");
  const [report] = JSON.parse(
    npm(["pack", "--ignore-scripts", "--json", "--pack-destination", folder], root),
  ) as [{ filename: string; files: { path: string }[] }];
  packed = report.files;
  const home = join(folder, "home");
  mkdirSync(home);
  writeFileSync(join(home, "package.json"), "{}");
  npm(["install", "--prefer-offline", "--no-audit", "--no-fund", join(folder, report.filename)], home);
  // Where no GPU is: the driver that a user would add by the advice of `neuron doctor`.
  mkdirSync(join(home, "node_modules/@sparticuz"), { recursive: true });
  symlinkSync(join(root, "node_modules/@sparticuz/chromium"), join(home, "node_modules/@sparticuz/chromium"));
}, 300_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function run(name: string, ...args: string[]) {
  const program = join(folder, "home/node_modules/.bin", name);
  const { status, stdout, stderr } = spawnSync(program, args, {
    cwd: join(folder, "home"),
    encoding: "utf8",
  });
  return { status, out: stdout, err: stderr };
}

describe("what is in it", () => {
  test("all that runs, and nothing that tests, measures or maps", () => {
    const paths = packed.map(({ path }) => path);
    for (const needed of [
      ...[
        "dist/neuron/main.js",
        "dist/gateway/main.js",
        "dist/gateway/web/index.html",
        "shaders/matvec.wgsl",
      ],
      ...["test-fixtures/demo-model/model/model.safetensors", "neuron.example.toml", "LICENSE", "README.md"],
      ...["CHANGELOG.md", "deploy/systemd/neuron.service", "docs/reference/commands.md"],
    ])
      expect(paths).toContain(needed);
    const strange =
      /\.test\.|\.fixture\.|\.map$|\.d\.ts$|^dist\/(bench|clients)\/|^(engine|neuron|gateway)\//;
    expect(paths.filter((path) => strange.test(path))).toEqual([]);
    for (const file of readdirSync(join(root, "shaders"), { recursive: true, encoding: "utf8" }))
      if (file.endsWith(".wgsl")) expect(paths).toContain(`shaders/${file}`);
  });
});

describe("installed elsewhere", { timeout: 240_000 }, () => {
  test.each(["neuron", "cortex"])(
    "%s says its version, its help, and what is wrong with its usage",
    (name) => {
      expect(run(name, "--version")).toEqual({ status: 0, out: `${version}\n`, err: "" });
      expect(run(name, "--help")).toMatchObject({
        status: 0,
        out: expect.stringContaining("Examples:"),
        err: "",
      });
      expect(run(name, "--nope")).toMatchObject({ status: 2, out: "" });
      expect(run(name, "check")).toMatchObject({ status: 0, err: "" });
    },
  );

  test("neuron has the demo model", () => {
    expect(run("neuron", "ls", "--quiet").out.split("\n")).toContain("demo");
  });

  test("cortex serves it: chat, stream, tool, picture, every dialect, and the page", async () => {
    const { child, url } = await serve();
    const validated = run("cortex", "validate", "--endpoint", url, "--model", "demo", "--json");
    const { findings } = JSON.parse(validated.out) as {
      findings: { verdict: string; what: string; text: string }[];
    };
    expect(findings.filter(({ verdict }) => verdict === "FAIL")).toEqual([]);
    expect(findings.filter(({ verdict }) => verdict === "pass").length).toBeGreaterThanOrEqual(9);
    const page = await fetch(url, { headers: { accept: "text/html" } });
    expect(await page.text()).toContain("<title>");
    const chat = run("neuron", "chat", "demo", "What is the capital of France?", "--endpoint", url);
    expect(chat).toMatchObject({ status: 0, out: "The capital of France is Paris.\n" });
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGTERM");
    expect(await ended).toBe(0);
  });
});

/** `cortex serve` with its local neuron on free ports, once the model answers. */
async function serve() {
  const env = {
    ...process.env,
    CORTEX_GATEWAY__LISTEN: "127.0.0.1:0",
    CORTEX_GATEWAY__METRICS_LISTEN: "127.0.0.1:0",
  };
  const program = join(folder, "home/node_modules/.bin/cortex");
  const child = spawn(program, ["serve"], { cwd: join(folder, "home"), env });
  onTestFinished(() => void child.kill("SIGKILL"));
  let [said, ended] = ["", false];
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (said += String(text)));
  child.once("exit", () => (ended = true));
  for (;;) {
    const url = /^ready: demo answers on (http:\S+)\/v1/m.exec(said)?.[1];
    if (url) return { child, url };
    if (ended) throw new Error(`it ended: ${said}`);
    await sleep(50);
  }
}
