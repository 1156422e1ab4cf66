// `neuron check`: whether the settings would do, without opening a device.

import type { Command } from "commander";
import { parseReference } from "../reference.ts";
import { print } from "./command.ts";
import type { Act, World } from "./command.ts";
import { json, settings } from "./flags.ts";

interface CheckFlags {
  config?: string;
  json?: boolean;
}

export function addCheck(program: Command, act: Act): void {
  program
    .command("check")
    .description("check neuron.toml and the environment, without opening a device")
    .option("-c, --config <file>", "settings (default: ./neuron.toml, if there is one)")
    .addOption(json("print the settings, with their defaults, as JSON"))
    .action(act(runCheck));
}

async function runCheck({ env }: World, flags: CheckFlags): Promise<number> {
  const { config, file } = settings(flags.config === undefined ? {} : { config: flags.config }, env);
  for (const { model_id, source } of config.default_models) parseReference(source ?? model_id);
  const models = config.default_models.map(({ model_id }) => model_id).join(", ") || "none";
  if (flags.json) print(JSON.stringify({ file: file ?? null, config }, undefined, 2));
  else print(`${file ?? "no neuron.toml, so the defaults"}: fine; models at start: ${models}`);
  return 0;
}
