// The pages, followed. Every command line of neuron and cortex on them must be one that the real command line takes; and
// blocks marked `run` are run, with a gateway and the demo model where they ask for one. A block that is not run says why.

import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { CommanderError } from "commander";
import type { Command } from "commander";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createProgram as cortex } from "../gateway/cli.ts";
import { createProgram as neuron } from "../neuron/cli.ts";

const root = join(import.meta.dirname, "..");
const pages = [
  "README.md",
  ...readdirSync(import.meta.dirname, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".md"))
    .map((file) => `docs/${file}`),
].sort();

interface Block {
  page: string;
  /** What the comment above it says: "run…" or "not run: why". */
  mark: string | undefined;
  commands: string[];
}

const blocks = pages.flatMap((page): Block[] => {
  const text = readFileSync(join(root, page), "utf8");
  return [...text.matchAll(/(?:<!-- ((?:not )?run[^>]*?) -->\n)?```console\n([^]*?)```/g)].map(
    ([, mark, body]) => ({
      ...{ page, mark },
      commands: body!
        .replaceAll("\\\n", " ")
        .split("\n")
        .flatMap((line) => (line.startsWith("$ ") ? [line.slice(2)] : [])),
    }),
  );
});

/** `a && b`, without comments; "npx neuron" is neuron. */
function ours(command: string): string[] {
  return command
    .replace(/\s+#.*$/, "")
    .split(/&&|\$\(|\)"|\|/)
    .map((part) => part.trim().replace(/^npx /, ""))
    .filter((part) => /^(neuron|cortex)( |$)/.test(part));
}

/** The words of a command as a shell would cut them; our pages quote with double and single quotes only. */
function words(command: string): string[] {
  return [...command.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map(([, a, b, c]) => a ?? b ?? c!);
}

/** Takes every command and does nothing. */
function inert(command: Command): Command {
  command.exitOverride().configureOutput({ writeErr: () => {}, writeOut: () => {} });
  command.action(() => {});
  command.commands.forEach(inert);
  return command;
}

function parses(line: string): string {
  const [name, ...args] = words(line);
  const program = inert(name === "neuron" ? neuron() : cortex());
  const known = program.commands.some((sub) => sub.name() === args[0]);
  if (args[0] !== undefined && !args[0].startsWith("-") && !known) return `unknown command ${args[0]}`;
  try {
    program.parse(args, { from: "user" });
    return "yes";
  } catch (error) {
    return error instanceof CommanderError && error.exitCode === 0 ? "yes" : String(error);
  }
}

const all = blocks.flatMap(({ page, commands }) =>
  commands.flatMap(ours).map((line) => [page, line] as const),
);

test.each(all)("%s: %s", (_, line) => {
  expect(parses(line)).toBe("yes");
});

test("a wrong command would be seen", () => {
  for (const line of [
    "neuron dance",
    "neuron ls --colour",
    "cortex validate",
    "cortex load",
    "neuron --port x",
  ])
    expect(parses(line)).not.toBe("yes");
  expect(all.length).toBeGreaterThan(25);
});

/** Pages that tests of their own follow. */
const elsewhere = ["README.md", "docs/clients.md", "docs/performance.md"];

test.each(pages.filter((page) => !elsewhere.includes(page)))("%s: what is not run says why", (page) => {
  for (const { mark, commands } of blocks.filter((block) => block.page === page))
    expect([commands, mark]).toEqual([commands, expect.stringMatching(/^(run|not run: \w.{8})/)]);
});

test("links between pages lead somewhere", () => {
  for (const page of pages)
    for (const [, link] of readFileSync(join(root, page), "utf8").matchAll(/\]\((?!https?:|#)([^)#]+)/g))
      expect([page, link, existsSync(resolve(root, dirname(page), link!))]).toEqual([page, link, true]);
});

describe("run", { timeout: 240_000 }, () => {
  const folder = mkdtempSync(join(tmpdir(), "cortex-docs-"));
  const bin = join(folder, "bin");
  let url = "";
  let daemons: ReturnType<typeof spawn>[] = [];

  beforeAll(async () => {
    mkdirSync(bin);
    const hook = join(root, "test-fixtures/typescript.mjs");
    for (const [name, file] of [
      ["neuron", "neuron/main.ts"],
      ["cortex", "gateway/main.ts"],
    ])
      writeFileSync(
        join(bin, name!),
        `#!/bin/sh\nexec "${process.execPath}" --import "${hook}" "${join(root, file!)}" "$@"\n`,
        { mode: 0o755 },
      );
    for (const here of ["deploy", "test-fixtures"]) symlinkSync(join(root, here), join(folder, here));
    url = await serve();
  }, 400_000);
  afterAll(() => {
    for (const daemon of daemons) daemon.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  });

  function start(name: string, args: string[], until: RegExp): Promise<string> {
    const child = spawn(join(bin, name), args, { cwd: folder, env: environment() });
    daemons = [...daemons, child];
    let [said, ended] = ["", false];
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (said += String(text)));
    child.once("exit", () => (ended = true));
    return (async () => {
      for (;;) {
        const found = until.exec(said)?.[1];
        if (found) return found;
        if (ended) throw new Error(`${name} ended: ${said}`);
        await sleep(50);
      }
    })();
  }

  async function serve(): Promise<string> {
    const address = await start("neuron", ["--port", "0", "--model", "demo"], /^ready: (http:\S+)\/v1/m);
    const toml = `[[neurons]]\nname = "local"\nendpoint = "${address}"\n`;
    writeFileSync(join(folder, "cortex.toml"), toml);
    const args = ["serve", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"];
    return start("cortex", args, /^ready: demo answers on (http:\S+)\/v1/m);
  }

  function environment(): NodeJS.ProcessEnv {
    const home = {
      HOME: folder,
      HF_HOME: join(folder, "hub"),
      XDG_CACHE_HOME: process.env["XDG_CACHE_HOME"],
    };
    return { ...process.env, ...home, PATH: `${bin}:${process.env["PATH"]}`, CORTEX_API_KEY: "" };
  }

  const runnable = blocks
    .filter(({ mark, page }) => mark?.startsWith("run") && !elsewhere.includes(page))
    .filter(({ mark }) => !mark!.includes("kubectl") || !spawnSync("kubectl", ["version", "--client"]).error);

  test.each(
    runnable.flatMap(({ page, mark, commands }) =>
      commands.map((command) => [page, command, mark!] as const),
    ),
  )("%s: %s", (_, command, mark) => {
    const atGateway = /^cortex (status|models|load|unload|drain|validate|pin)\b/.test(command);
    const line = mark.includes("gateway")
      ? `${command.replace("http://127.0.0.1:31313", url)}${atGateway ? ` --endpoint ${url}` : ""}`
      : command;
    const { status, stdout, stderr } = spawnSync("sh", ["-c", line], {
      ...{ cwd: folder, env: environment(), encoding: "utf8", input: "" },
    });
    expect([status, stderr.replace(/^Warning: .*\n/gm, "")]).toEqual([0, expect.any(String)]);
    expect(stdout).not.toBe("");
    if (command.includes("capital of France")) expect(stdout).toContain("Paris");
  });
});
