// `neuron rm`: models leave this disk.

import type { Command } from "commander";
import { hubFrom } from "../hub.ts";
import { size } from "../log.ts";
import { removeModel } from "../remove.ts";
import type { Removed } from "../remove.ts";
import { print } from "./command.ts";
import type { Act, World } from "./command.ts";
import { settings, storeOptions } from "./flags.ts";
import type { StoreFlags } from "./flags.ts";

export function addRm(program: Command, act: Act): void {
  const command = program
    .command("rm")
    .description("remove models from this disk")
    .argument("<model...>", "as `neuron ls` names them: org/name[@revision]");
  storeOptions(command).action(act(runRm));
}

async function runRm({ env }: World, models: string[], flags: StoreFlags): Promise<number> {
  const hub = hubFrom(env, settings(flags, env).config.hub);
  const removed: Removed[] = [];
  for (const model of models) {
    const one = await removeModel(hub, model);
    removed.push(one);
    if (!flags.json) print(`${one.id}: removed, ${size(one.bytes)} free again`);
  }
  if (flags.json) print(JSON.stringify(removed, undefined, 2));
  return 0;
}
