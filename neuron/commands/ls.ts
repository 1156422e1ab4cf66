// `neuron ls`: the models on this disk.

import type { Command } from "commander";
import { hubFrom } from "../hub.ts";
import { formatModels, storedModels } from "../store.ts";
import { print } from "./command.ts";
import type { Act, World } from "./command.ts";
import { settings, storeOptions } from "./flags.ts";
import type { StoreFlags } from "./flags.ts";

export function addLs(program: Command, act: Act): void {
  storeOptions(program.command("ls").description("the models on this disk")).action(act(runLs));
}

async function runLs({ env }: World, flags: StoreFlags): Promise<number> {
  const hub = hubFrom(env, settings(flags, env).config.hub);
  const models = await storedModels(hub);
  print(flags.json ? JSON.stringify(models, undefined, 2) : formatModels(models, hub));
  return 0;
}
