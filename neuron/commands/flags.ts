// Options that several commands share, and the settings that they lead to.

import { InvalidArgumentError, Option } from "commander";
import type { Command } from "commander";
import { loadConfig } from "../config.ts";
import type { LoadedConfig } from "../config.ts";

export interface DeviceFlags {
  config?: string;
  device?: number | number[];
  adapter?: string;
  json?: boolean;
}

export interface StoreFlags {
  config?: string;
  cacheDir?: string;
  json?: boolean;
}

export interface SpreadFlags {
  tensorParallel?: number;
  pipelineParallel?: number;
  deviceWeights?: number[];
}

export interface ServeFlags extends DeviceFlags, StoreFlags, SpreadFlags {
  host?: string;
  port?: number;
  model?: string[];
  context?: number;
  quant?: string;
  offline?: boolean;
  autotune?: boolean;
  strict?: boolean;
  logLevel?: string;
}

export function deviceOptions(command: Command, whatJsonDoes = "print JSON"): Command {
  return command
    .option("-c, --config <file>", "settings (default: ./neuron.toml, if there is one)")
    .option("-d, --device <index>", "device by its index in `neuron devices`, or several: 0,1", deviceList)
    .option("--adapter <name>", "device by a part of its name, or lavapipe, swiftshader")
    .addOption(json(whatJsonDoes));
}

export function storeOptions(command: Command): Command {
  return command
    .option("-c, --config <file>", "settings (default: ./neuron.toml, if there is one)")
    .option("--cache-dir <folder>", "the hub cache (default: as HF_HUB_CACHE and HF_HOME say)")
    .addOption(json("print JSON"));
}

export function json(description: string): Option {
  return new Option("--json", description);
}

export function integer(text: string): number {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError("Expected a whole number.");
  return Number(text);
}

function deviceList(text: string): number | number[] {
  const all = text.split(",").map(integer);
  return all.length === 1 ? all[0]! : all;
}

function numbers(text: string): number[] {
  return text.split(",").map((one) => {
    if (!/^\d+(\.\d+)?$/.test(one)) throw new InvalidArgumentError("Expected numbers with commas between.");
    return Number(one);
  });
}

/** How a model is spread over several devices. */
export function spreadOptions(command: Command): Command {
  return command
    .option("--tensor-parallel <count>", "a part of every layer on each of so many devices", integer)
    .option("--pipeline-parallel <count>", "some of the layers on each of so many devices", integer)
    .option("--device-weights <list>", "how much of a model each device gets, such as 2,1", numbers);
}

export function collect(value: string, before: string[] = []): string[] {
  return [...before, value];
}

/** Flags over the environment over the file. */
export function settings(flags: ServeFlags, env: NodeJS.ProcessEnv): LoadedConfig {
  return loadConfig({
    file: flags.config,
    env,
    flags: {
      "--host": ["host", flags.host],
      "--port": ["port", flags.port],
      "--device": ["device", flags.device],
      "--tensor-parallel": ["tensor_parallel", flags.tensorParallel],
      "--pipeline-parallel": ["pipeline_parallel", flags.pipelineParallel],
      "--device-weights": ["weights", flags.deviceWeights],
      "--adapter": ["adapter", flags.adapter],
      "--context": ["context_length", flags.context],
      "--quant": ["quant", flags.quant],
      "--autotune": ["autotune", flags.autotune],
      "--strict": ["strict", flags.strict],
      "--log-level": ["log_level", flags.logLevel],
      "--json": ["log_format", flags.json ? "json" : undefined],
      "--cache-dir": ["hub.cache_folder", flags.cacheDir],
      "--offline": ["hub.offline", flags.offline],
      "--model": ["default_models", flags.model?.map((model_id) => ({ model_id }))],
    },
  });
}
