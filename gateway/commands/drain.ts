// `cortex drain NEURON`: takes a neuron out of service, at every gateway that shares its state.

import { InvalidArgumentError } from "commander";
import type { Command } from "commander";
import { call } from "../../kit/client.ts";
import type { Client } from "../../kit/client.ts";
import { print } from "./command.ts";
import type { Act } from "./command.ts";
import { clientOf, clientOptions } from "./flags.ts";
import type { ClientFlags } from "./flags.ts";

interface DrainFlags extends ClientFlags {
  undo?: boolean;
  wait?: number | true;
}

interface Drained {
  name: string;
  draining: boolean;
  running: number;
}

const help = `
Nothing new goes to a drained neuron; what runs there ends in peace. It stays drained until --undo, whatever restarts.
With --wait the exit code is 1 when requests still run in the end.`;

const longestWaitS = 600;
const lookEveryMs = 500;

export function addDrain(program: Command, act: Act): void {
  const command = program
    .command("drain <neuron>")
    .description("send nothing new to a neuron, until --undo")
    .option("--undo", "let it serve again")
    .option(
      "--wait [seconds]",
      `until nothing runs there, at most so long (default: ${longestWaitS})`,
      seconds,
    )
    .addHelpText("after", help);
  clientOptions(command).action(act(drain));
}

async function drain(neuron: string, flags: DrainFlags): Promise<number> {
  const client = clientOf(flags);
  let now = await order(client, neuron, flags.undo ? "DELETE" : "POST");
  const until = performance.now() + 1000 * (flags.wait === true ? longestWaitS : (flags.wait ?? 0));
  while (now.draining && now.running > 0 && performance.now() < until) {
    await new Promise((wake) => setTimeout(wake, lookEveryMs));
    now = await order(client, neuron, "POST");
  }
  if (flags.json) print(JSON.stringify(now));
  else if (!now.draining) print(`${neuron} serves again`);
  else
    print(
      `${neuron} is drained; ${now.running === 0 ? "nothing runs there" : `${now.running} still run there`}`,
    );
  return flags.wait !== undefined && now.draining && now.running > 0 ? 1 : 0;
}

/** To drain again what is drained changes nothing, and tells how far it is. */
async function order(client: Client, neuron: string, method: "POST" | "DELETE"): Promise<Drained> {
  const path = `/api/neurons/${encodeURIComponent(neuron)}/drain`;
  return (await call(client, path, { method })) as Drained;
}

function seconds(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value <= 86_400)) throw new InvalidArgumentError("Expected seconds.");
  return value;
}
