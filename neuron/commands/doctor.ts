// `neuron doctor`: what the GPUs here offer, and what is missing.

import type { Command } from "commander";
import { print } from "./command.ts";
import type { Act, World } from "./command.ts";
import { deviceOptions, settings } from "./flags.ts";
import type { DeviceFlags } from "./flags.ts";

export function addDoctor(program: Command, act: Act): void {
  const command = program
    .command("doctor")
    .description("what the GPUs here offer, and what is missing to use them");
  deviceOptions(command).action(act(runDoctor));
}

async function runDoctor({ env }: World, flags: DeviceFlags): Promise<number> {
  const { doctor, formatDoctor } = await import("../doctor.ts");
  const { device, adapter } = settings(flags, env).config;
  const report = await doctor({ device: Array.isArray(device) ? device[0] : device, adapter });
  print(flags.json ? JSON.stringify(report, undefined, 2) : formatDoctor(report).trimEnd());
  return "error" in report.chosen ? 1 : 0;
}
