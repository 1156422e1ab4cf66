// `cortex check`: before a start, or when something is not as it should be.

import { join } from "node:path";
import type { Command } from "commander";
import { check } from "../inspect/check.ts";
import { print } from "./command.ts";
import type { Act } from "./command.ts";
import { showFindings } from "./show.ts";

interface CheckFlags {
  config?: string;
  offline?: boolean;
  json?: boolean;
}

const help = `
Reads cortex.toml, models.toml and the file of keys, asks every neuron listed, and with no neurons listed has the local
one read its neuron.toml. Changes nothing. Exit code 1 when a line says FAIL.`;

export function addCheck(program: Command, act: Act): void {
  program
    .command("check")
    .description("check the configuration files, and ask every neuron in them")
    .option("-c, --config <file>", "cortex.toml (default: ./cortex.toml, if there is one)")
    .option("--offline", "only the files")
    .option("--json", "print JSON")
    .addHelpText("after", help)
    .action(act(runCheck));
}

async function runCheck({ config, offline = false, json = false }: CheckFlags): Promise<number> {
  const neuronScript = join(import.meta.dirname, "../../neuron/main.js");
  const sources = { file: config, env: process.env, folder: process.cwd() };
  return showFindings(check({ ...sources, offline, neuronScript }), json, print);
}
