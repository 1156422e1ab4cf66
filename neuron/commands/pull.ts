// `neuron pull`: a model of the hub, brought into the cache or up to date.

import type { Command } from "commander";
import { EngineError } from "../../engine/errors.ts";
import { hubFrom } from "../hub.ts";
import { createLog } from "../log.ts";
import { pull } from "../store.ts";
import { print } from "./command.ts";
import type { Act, World } from "./command.ts";
import { settings, storeOptions } from "./flags.ts";
import type { StoreFlags } from "./flags.ts";

export function addPull(program: Command, act: Act): void {
  const command = program
    .command("pull")
    .description("download a model, or continue a download")
    .argument("<ref>", "org/name[@revision][:quant]; quant chooses among GGUF files, such as Q4_K_M");
  storeOptions(command).action(act(runPull));
}

async function runPull({ env }: World, reference: string, flags: StoreFlags): Promise<number> {
  const { config } = settings(flags, env);
  const stop = new AbortController();
  process.once("SIGINT", () => stop.abort(new EngineError("cancelled", "stopped; run again to continue")));
  const log = createLog({ level: config.log_level, json: false });
  const path = await pull(reference, hubFrom(env, config.hub), log, stop.signal);
  log.info(`${reference}: complete`);
  print(flags.json ? JSON.stringify({ id: reference, path }) : path);
  return 0;
}
