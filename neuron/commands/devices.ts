// `neuron devices`: the list that --device counts in.

import type { Command } from "commander";
import { print } from "./command.ts";
import type { Act, World } from "./command.ts";
import { json } from "./flags.ts";

export function addDevices(program: Command, act: Act): void {
  program
    .command("devices")
    .description("the devices, with the index that --device takes")
    .addOption(json("print JSON"))
    .action(act(runDevices));
}

async function runDevices(_world: World, flags: { json?: boolean }): Promise<number> {
  const { formatDevices, listDevices } = await import("../doctor.ts");
  const devices = await listDevices();
  print(flags.json ? JSON.stringify(devices, undefined, 2) : formatDevices(devices).trimEnd());
  return 0;
}
