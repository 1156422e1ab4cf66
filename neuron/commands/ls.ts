// `neuron ls`: the models on this disk.

import type { Command } from "commander";
import { hubFrom } from "../hub.ts";
import { formatModels, storedModels } from "../store.ts";
import { print } from "./command.ts";
import type { Act, World } from "./command.ts";
import { settings, storeOptions } from "./flags.ts";
import type { StoreFlags } from "./flags.ts";

interface LsFlags extends StoreFlags {
  quiet?: boolean;
}

export function addLs(program: Command, act: Act): void {
  const command = program
    .command("ls")
    .description("the models on this disk")
    .option("-q, --quiet", "only the names, one a line");
  storeOptions(command).action(act(runLs));
}

async function runLs({ env }: World, flags: LsFlags): Promise<number> {
  const hub = hubFrom(env, settings(flags, env).config.hub);
  const models = await storedModels(hub);
  if (flags.json) print(JSON.stringify(models, undefined, 2));
  else if (flags.quiet) for (const { id } of models) print(id);
  else print(formatModels(models, hub));
  return 0;
}
