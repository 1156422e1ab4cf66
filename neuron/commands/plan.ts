// `neuron plan`: what a model would take of the device's memory, to the byte, without loading it.

import type { Command } from "commander";
import { hubFrom } from "../hub.ts";
import { parseReference, withQuant } from "../reference.ts";
import { snapshot } from "../snapshot.ts";
import { print } from "./command.ts";
import type { Act, World } from "./command.ts";
import { deviceOptions, integer, settings, spreadOptions } from "./flags.ts";
import type { DeviceFlags, SpreadFlags } from "./flags.ts";

interface PlanFlags extends DeviceFlags, SpreadFlags {
  model: string;
  context?: number;
  maxInFlight?: number;
  quant?: string;
  cacheDir?: string;
}

export function addPlan(program: Command, act: Act): void {
  const command = program
    .command("plan")
    .description("what a model on this disk would take of the device's memory; nothing is loaded")
    .requiredOption("-m, --model <ref>", "folder, .gguf file, org/name[@revision][:quant] or demo")
    .option("--context <tokens>", "tokens of prompt and answer together", integer)
    .option("--max-in-flight <count>", "sequences at once", integer)
    .option("--quant <type>", "form of the weights (see serve)")
    .option("--cache-dir <folder>", "the hub cache (default: as HF_HUB_CACHE and HF_HOME say)");
  spreadOptions(deviceOptions(command)).action(act(runPlan));
}

async function runPlan({ env }: World, { model, maxInFlight, ...flags }: PlanFlags): Promise<number> {
  const { config } = settings(flags, env);
  const reference = withQuant(parseReference(model), config.quant);
  const hub = { ...hubFrom(env, config.hub), offline: true }; // headers are read here, nothing is downloaded for them
  const nothing = {
    onProgress: () => undefined,
    onNote: () => undefined,
    signal: new AbortController().signal,
  };
  const { path, quant } =
    reference.kind === "local"
      ? reference
      : await snapshot(hub, reference.name, reference.revision, { ...nothing, quant: reference.quant });
  const { planLines, planLoad } = await import("../../engine/index.ts");
  const sequences = maxInFlight ?? config.max_in_flight;
  const options = {
    imageCacheBytes: Math.floor(config.images.cache_mb * 2 ** 20),
    ...(config.context_length === undefined ? {} : { contextLength: config.context_length }),
    ...(sequences === undefined ? {} : { maxInFlight: sequences }),
    ...{ prefixCache: config.prefix_cache && !config.strict, kvCache: config.kv_cache },
    ...(quant === undefined ? {} : { quant }),
    ...(config.memory_limit_mb === undefined ? {} : { memoryLimitMb: config.memory_limit_mb }),
  };
  const { device, adapter, weights } = config;
  const spread = {
    tensorParallel: config.tensor_parallel,
    pipelineParallel: config.pipeline_parallel,
    weights,
  };
  const devices = Array.isArray(device) ? device : [device];
  const gpus = devices.map((one) => ({ device: one, adapter }));
  const { plans, why } = await planLoad(path, options, gpus, spread);
  if (flags.json) print(JSON.stringify(plans.length === 1 ? plans[0] : plans, undefined, 2));
  else {
    if (why !== undefined) print(`${model}: ${why}`);
    for (const [rank, plan] of plans.entries()) {
      const name = plans.length === 1 ? model : `${model}, rank ${rank}`;
      print(planLines({ ...plan, model: name }).join("\n"));
    }
  }
  return 0;
}
