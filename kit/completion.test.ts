// The scripts do what they say in the shells themselves: bash always, zsh and fish where they are installed.

import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command, Option } from "commander";
import { afterAll, describe, expect, test } from "vitest";
import { completionScript } from "./completion.ts";
import type { Shell } from "./completion.ts";

const folder = mkdtempSync(join(tmpdir(), "completion-"));
mkdirSync(join(folder, "shelf"));
writeFileSync(join(folder, "sheet.toml"), "");
afterAll(() => rmSync(folder, { recursive: true }));

function program(): Command {
  const tool = new Command("tool").description("a tool").version("1.0.0");
  tool
    .command("serve")
    .description('run; it\'s the default: "yes" $HOME')
    .option("-c, --config <file>", "settings")
    .option("-p, --port <number>", "port")
    .addOption(new Option("--level <level>", "how much").choices(["low", "loud"]));
  tool.command("drop").description("drop a model").argument("<model>", "which").option("--json", "JSON");
  tool.command("look").description("look into a folder").argument("<dir>", "which");
  tool.command("ghost", { hidden: true });
  const key = tool.command("key").description("keys");
  key.command("create").description("a new one").option("--name <text>", "its name");
  key.command("drop").description("one less").option("--now", "at once");
  return tool;
}

/** What is offered behind `line`; its last word, which may be empty, is the one being typed. */
const ask: Record<Shell, (line: string) => string[]> = {
  bash: (line) => {
    const words = line.split(" ");
    const list = words.map((word) => `'${word}'`).join(" ");
    return runs("bash", [
      "-c",
      `source ./tool.bash; COMP_WORDS=(${list}); COMP_CWORD=${words.length - 1}; _tool; printf '%s\\n' "\${COMPREPLY[@]}"`,
    ]);
  },
  // The completion system needs a terminal: the words that would be offered are printed instead.
  zsh: (line) => {
    const words = line.split(" ");
    const list = words.map((word) => `'${word}'`).join(" ");
    return runs("zsh", [
      "-fc",
      `compdef() { }
       compadd() { shift; print -l -- \${(M)@:#$words[CURRENT]*} }
       _describe() { print -l -- \${(M)\${offers%%:*}:#$words[CURRENT]*} }
       _files() { if [[ $1 = -/ ]]; then print -l -- $words[CURRENT]*(N/); else print -l -- $words[CURRENT]*(N); fi }
       source ./tool.zsh; words=(${list}); CURRENT=${words.length}; _tool`,
    ]);
  },
  fish: (line) =>
    runs("fish", ["--no-config", "-c", `source ./tool.fish; complete -C '${line}'`]).map((word) =>
      word.split("\t")[0]!.replace(/\/$/, ""),
    ),
};

function runs(shell: Shell, args: string[]): string[] {
  const env = { PATH: process.env["PATH"], HOME: folder };
  const { stdout, stderr, status } = spawnSync(shell, args, { cwd: folder, env, encoding: "utf8" });
  expect([status, stderr]).toEqual([expect.any(Number), ""]);
  return stdout.split("\n").filter((word) => word !== "");
}

const cases: [line: string, offers: string[]][] = [
  ["tool ", ["drop", "key", "look", "serve"]],
  ["tool s", ["serve"]],
  ["tool serve --l", ["--level"]],
  ["tool serve --level ", ["loud", "low"]],
  ["tool serve --level lo", ["loud", "low"]],
  ["tool serve --port ", []],
  ["tool serve --config sh", ["sheet.toml", "shelf"]],
  ["tool look sh", ["shelf"]],
  ["tool drop ", ["org/one", "two"]],
  ["tool drop --j", ["--json"]],
  ["tool key ", ["create", "drop"]],
  ["tool key drop --n", ["--now"]],
  ["tool key create --n", ["--name"]],
];

const here = (["bash", "zsh", "fish"] as const).filter(
  (shell) => spawnSync(shell, ["--version"]).status === 0,
);

describe.each(here)("%s", (shell) => {
  writeFileSync(
    join(folder, `tool.${shell}`),
    completionScript(program(), shell, "printf 'org/one\\ntwo\\n'"),
  );

  test.each(cases)("%s…", (line, offers) => {
    expect(ask[shell](line).sort()).toEqual(offers);
  });
});

test("bash is here, so the cases have run", () => expect(here).toContain("bash"));
