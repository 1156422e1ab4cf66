// `cortex key …`: who may ask the gateway for what. The keys are in a file; a running gateway sees every change of it.

import { InvalidArgumentError } from "commander";
import type { Command } from "commander";
import { call } from "../../kit/client.ts";
import { table } from "../../kit/table.ts";
import type { Config } from "../config.ts";
import { ConfigError, loadConfig } from "../config.ts";
import type { Grants, Key } from "../keys/keys.ts";
import { mintKey, nameProblem } from "../keys/keys.ts";
import { changeKeys, readKeys } from "../keys/keys-file.ts";
import type { KeyUsage } from "../routes/operator.ts";
import type { Used } from "../keys/usage.ts";
import { nothingUsed, sumUsed } from "../keys/usage.ts";
import { print } from "./command.ts";
import type { Act } from "./command.ts";
import { clientOf, clientOptions } from "./flags.ts";
import type { ClientFlags } from "./flags.ts";

interface FileFlags {
  config?: string;
  json?: boolean;
}

interface AddFlags extends FileFlags {
  admin?: boolean;
  model?: string[];
  requests?: number;
  tokens?: number;
  per?: number;
  concurrency?: number;
}

interface UsageFlags extends ClientFlags {
  days: number;
}

const help = `
The key is printed once, and only its hash is kept. Clients send it as a bearer token or as x-api-key.
Keys are asked for once cortex.toml says so:
  [auth]
  mode = "required"

Example:
  cortex key add alice --model demo --requests 60 --tokens 200000 --per 1d --concurrency 4`;

export function addKey(program: Command, act: Act): void {
  const key = program.command("key").description("API keys: who may ask for what, and who used how much");
  fileOptions(key.command("add <name>"))
    .description("make a key and print it")
    .option("--model <id...>", "the models that it may use, by id or alias (default: all)")
    .option("--requests <n>", "requests a minute", count)
    .option("--tokens <n>", "tokens, of prompts and answers together, within the time of --per", count)
    .option("--per <time>", "30m, 12h, 1d (default: 1d)", seconds)
    .option("--concurrency <n>", "requests at the same time", count)
    .option("--admin", "may drain, load and unload, and see everybody's usage")
    .addHelpText("after", help)
    .action(act(add));
  fileOptions(key.command("ls"))
    .description("list the keys and their limits")
    .option("--json", "print JSON")
    .action(act(list));
  fileOptions(key.command("revoke <name>"))
    .description("take a key back, by its name or id")
    .action(act(revoke));
  const usage = key.command("usage").description("what each key has used; without an admin's key, its own");
  clientOptions(usage)
    .option("--days <n>", "how many days back, today included", count, 1)
    .action(act(showUsage));
}

function fileOptions(command: Command): Command {
  return command.option("-c, --config <file>", "cortex.toml (default: ./cortex.toml, if there is one)");
}

async function add(name: string, flags: AddFlags, command: Command): Promise<number> {
  const problem = nameProblem(name);
  if (problem !== undefined) command.error(`error: "${name}": ${problem}`);
  if (flags.per !== undefined && flags.tokens === undefined)
    command.error("error: --per is of use only with --tokens");
  const { keysFile, cortex } = configOf(flags);
  const { text, key } = mintKey(grantsOf(name, flags));
  changeKeys(keysFile, (keys) => {
    if (keys.some((one) => one.name === name))
      throw new ConfigError(`there is a key called ${name}; \`cortex key revoke ${name}\` takes it back`);
    return { keys: [...keys, key], result: undefined };
  });
  print(text); // alone on stdout, for scripts
  console.error(`key ${key.id} for ${name} is in ${keysFile}; it is not shown again`);
  if (cortex.auth.mode === "off")
    console.error('keys are not asked for yet: [auth] mode = "required" in cortex.toml');
  return 0;
}

async function list(flags: FileFlags): Promise<number> {
  const keys = readKeys(configOf(flags).keysFile);
  if (flags.json)
    print(
      JSON.stringify(
        keys.map(({ hash: _, ...told }) => told),
        undefined,
        2,
      ),
    );
  else
    print(
      keys.length > 0
        ? table(["NAME", "ID", "CREATED", "MODELS", "LIMITS"], keys.map(row)).join("\n")
        : "no keys",
    );
  return 0;
}

async function revoke(name: string, flags: FileFlags): Promise<number> {
  const { keysFile } = configOf(flags);
  const gone = changeKeys(keysFile, (keys) => {
    const result = keys.find((key) => key.name === name || key.id === name);
    if (!result) throw new ConfigError(`no key is called ${name}; \`cortex key ls\` lists them`);
    return { keys: keys.filter((key) => key !== result), result };
  });
  print(`key ${gone.id} of ${gone.name} is revoked`);
  return 0;
}

async function showUsage(flags: UsageFlags): Promise<number> {
  const { keys } = (await call(clientOf(flags), `/api/usage?days=${flags.days}`)) as { keys: KeyUsage[] };
  if (flags.json) print(JSON.stringify(keys, undefined, 2));
  else if (keys.length === 0) print("no usage: keys are not asked for");
  else {
    const rows = keys.map(({ name, days }) => [
      name,
      ...figures(Object.values(days).reduce(sumUsed, nothingUsed)),
    ]);
    print(table(["NAME", "REQUESTS", "ERRORS", "PROMPT", "CACHED", "COMPLETION"], rows).join("\n"));
  }
  return 0;
}

function configOf({ config }: FileFlags): Config {
  return loadConfig({ file: config, env: process.env, folder: process.cwd() });
}

function grantsOf(
  name: string,
  { admin = false, model, requests, tokens, per = 86_400, concurrency }: AddFlags,
): Grants {
  return {
    ...{ name, admin },
    ...(model && { models: model }),
    ...(requests !== undefined && { requests_per_min: requests }),
    ...(tokens !== undefined && { tokens, window_s: per }),
    ...(concurrency !== undefined && { concurrency }),
  };
}

function row(key: Key): string[] {
  const limits = [
    key.requests_per_min === undefined ? "" : `${key.requests_per_min}/min`,
    key.tokens === undefined ? "" : `${key.tokens} tokens/${timeText(key.window_s!)}`,
    key.concurrency === undefined ? "" : `${key.concurrency} at once`,
  ];
  const name = key.admin ? `${key.name} (admin)` : key.name;
  return [
    name,
    key.id,
    key.created.slice(0, 10),
    key.models?.join(", ") ?? "all",
    limits.filter(Boolean).join(", "),
  ];
}

function figures(used: Used): string[] {
  const { requests, errors, prompt_tokens, cached_tokens, completion_tokens } = used;
  return [requests, errors, prompt_tokens, cached_tokens, completion_tokens].map(String);
}

function count(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1)
    throw new InvalidArgumentError("Expected a whole number from 1.");
  return value;
}

const units: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };

function seconds(text: string): number {
  const [, figure, unit] = /^(\d{1,6})([smhd])$/.exec(text) ?? [];
  if (figure === undefined || Number(figure) === 0)
    throw new InvalidArgumentError("Expected 30m, 12h or 1d.");
  return Number(figure) * units[unit!]!;
}

/** In the largest unit that fits: 86400 is 1d. */
function timeText(secs: number): string {
  const [unit, of] = Object.entries(units).findLast(([, each]) => secs % each === 0)!;
  return `${secs / of}${unit}`;
}
