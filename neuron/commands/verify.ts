// `neuron verify`: the engine on this adapter, held against a reference's numbers.

import { Option } from "commander";
import type { Command } from "commander";
import { print } from "./command.ts";
import type { Act, World } from "./command.ts";
import { deviceOptions, settings, spreadOptions } from "./flags.ts";
import type { DeviceFlags, SpreadFlags } from "./flags.ts";

interface VerifyFlags extends DeviceFlags, SpreadFlags {
  case?: string[];
  tolerance: "f32" | "bf16";
  weights?: string;
  quant?: string;
  strict?: boolean;
  autotune?: boolean;
  everyWay?: boolean;
}

export function addVerify(program: Command, act: Act): void {
  const command = program
    .command("verify")
    .description("hold the engine against a model folder's reference numbers")
    .argument("<dir>", "a model folder with inputs.json, meta.json and golden/")
    .option("--case <name...>", "only these cases")
    .option("--weights <path>", "another form of the same model: a GGUF file, or a folder")
    .option("--quant <type>", "quantise the weights first, or choose among GGUF files (see serve)")
    .option("--strict", "by the kernels of `serve --strict`")
    .option("--autotune", "by the kernels that suit the device, which are measured where that is not known")
    .option("--every-way", "by each way that the device has of computing something, one after another")
    .addOption(
      new Option("--tolerance <kind>", "the bounds: f32 for exact weights, bf16 for converted ones")
        .choices(["f32", "bf16"])
        .default("f32"),
    );
  spreadOptions(deviceOptions(command)).action(act(runVerify));
}

async function runVerify({ env }: World, folder: string, flags: VerifyFlags): Promise<number> {
  const { verify } = await import("../verify.ts");
  const { config } = settings(flags, env);
  const { device, adapter, strict, autotune } = config;
  const spread = {
    tensorParallel: config.tensor_parallel,
    pipelineParallel: config.pipeline_parallel,
    weights: config.weights,
  };
  const chosen = {
    spread,
    ...(device === undefined ? {} : { devices: Array.isArray(device) ? device : [device] }),
    ...(adapter === undefined ? {} : { adapter }),
  };
  const form = {
    ...(flags.weights === undefined ? {} : { weights: flags.weights }),
    ...(flags.quant === undefined ? {} : { quant: flags.quant }),
  };
  const ways = {
    ...{ kvCache: config.kv_cache, strict },
    ...(autotune === undefined ? {} : { autotune }),
    ...{ shaderChecks: config.shader_checks, everyWay: flags.everyWay ?? false },
  };
  const judged = { mode: flags.tolerance, cases: flags.case ?? [] };
  const options = { ...chosen, ...form, ...ways, ...judged, json: flags.json ?? false };
  return (await verify(folder, options, print)) ? 0 : 1;
}
