// The command line: what `neuron --help` says. Every command returns its exit code: 0 done, 1 it failed, 2 wrong usage.

import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { EngineError } from "../engine/errors.ts";
import { colour } from "./colour.ts";
import { loadConfig } from "./config.ts";
import type { Config } from "./config.ts";
import type { DaemonDeps } from "./daemon.ts";
import { hubFrom } from "./hub.ts";
import { createLog, levels } from "./log.ts";
import type { Log } from "./log.ts";
import { defaultPort } from "./protocol.ts";
import { formatModels, pull, storedModels } from "./store.ts";
import { version } from "./version.ts";

interface DeviceFlags {
  config?: string;
  device?: number;
  adapter?: string;
  json?: boolean;
}

interface StoreFlags {
  config?: string;
  cacheDir?: string;
  json?: boolean;
}

interface ServeFlags extends DeviceFlags, StoreFlags {
  host?: string;
  port?: number;
  model?: string[];
  context?: number;
  offline?: boolean;
  logLevel?: string;
}

const examples = `
Examples:
  neuron --model demo                          the bundled model, on the best device
  neuron --model Qwen/Qwen3-0.6B --device 0    a model of the hub, downloaded once
  neuron --model ./my-model --host 0.0.0.0     a folder, served to the network
  curl http://127.0.0.1:${defaultPort}/v1/chat/completions -H 'content-type: application/json' \\
    -d '{"model":"demo","messages":[{"role":"user","content":"Hello!"}]}'

Settings: flags, then NEURON_… variables (NEURON_PORT, NEURON_HTTP__DRAIN_S), then neuron.toml.`;

interface World {
  env: NodeJS.ProcessEnv;
  openEngine: DaemonDeps["openEngine"];
}

/** The engine, and all that needs it, is loaded by the command that does: `neuron --help` should not wait for Dawn. */
const here: World = {
  env: process.env,
  openEngine: async (options) => (await import("../engine/index.ts")).openEngine(options),
};

/** Runs one command; `args` as after the program's name. */
export async function run(args: readonly string[], world: World = here): Promise<number> {
  let code = 0;
  const program = createProgram(world, (result) => (code = result));
  try {
    await program.parseAsync(args, { from: "user" });
    return code;
  } catch (error) {
    // Commander has printed its message already, and help is no failure.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    process.stderr.write(complaint(error));
    return 1;
  }
}

/** One clear line a problem for what a user can cause; a stack only for our own mistakes. */
function complaint(error: unknown): string {
  const isOurs = !(error instanceof EngineError) || error.code === "internal";
  const text =
    isOurs && error instanceof Error ? (error.stack ?? error.message) : String((error as Error).message);
  return `${colour.red("error:")} ${text}\n`;
}

function createProgram(world: World, finish: (code: number) => void): Command {
  const program = new Command("neuron")
    .description("Serves language models on this host's GPU through WebGPU, with an OpenAI-compatible API.")
    .version(version)
    .enablePositionalOptions()
    .showHelpAfterError("(--help shows the options)")
    .exitOverride()
    .addHelpText("after", examples);
  const does =
    <T>(command: (flags: T, world: World) => Promise<number>) =>
    async (flags: T) =>
      finish(await command(flags, world));
  const doesWith =
    <T>(command: (argument: string, flags: T, world: World) => Promise<number>) =>
    async (argument: string, flags: T) =>
      finish(await command(argument, flags, world));

  serveOptions(program)
    .allowExcessArguments()
    .action(async (flags: ServeFlags, { args }: Command) => {
      if (args.length > 0) program.error(`error: unknown command '${args[0]}'`);
      await does(serve)(flags);
    });
  serveOptions(program.command("serve").description("serve models (the default)")).action(does(serve));
  deviceOptions(
    program.command("doctor").description("what the GPUs here offer, and what is missing to use them"),
  ).action(does(runDoctor));
  program
    .command("devices")
    .description("the devices, with the index that --device takes")
    .addOption(json("print JSON"))
    .action(does(runDevices));
  deviceOptions(
    program
      .command("verify")
      .description("hold the engine against a model folder's reference numbers")
      .argument("<dir>", "a model folder with inputs.json, meta.json and golden/")
      .option("--case <name...>", "only these cases")
      .addOption(
        new Option("--tolerance <kind>", "the bounds: f32 for exact weights, bf16 for converted ones")
          .choices(["f32", "bf16"])
          .default("f32"),
      ),
  ).action(doesWith(runVerify));
  storeOptions(
    program
      .command("pull")
      .description("download a model, or continue a download")
      .argument("<ref>", "org/name[@revision]"),
  ).action(doesWith(runPull));
  storeOptions(program.command("ls").description("the models on this disk")).action(does(runLs));
  refuseMisplaced(program);
  return program;
}

/** Flags before a command's name would be read and dropped. */
function refuseMisplaced(program: Command): void {
  program.hook("preAction", (_, command) => {
    const before = Object.keys(program.opts());
    if (command === program || before.length === 0) return;
    command.error(`error: options go after the command: neuron ${command.name()} --${before[0]} …`);
  });
}

function serveOptions(command: Command): Command {
  return deviceOptions(command, "write log lines as JSON")
    .option("--host <address>", "address to listen on; 0.0.0.0 for the network (default: 127.0.0.1)")
    .option("-p, --port <number>", `port to listen on; 0 for any free one (default: ${defaultPort})`, integer)
    .option("-m, --model <ref>", "folder, org/name[@revision] or demo; may be repeated", collect)
    .option("--context <tokens>", "tokens of prompt and answer together", integer)
    .option("--cache-dir <folder>", "the hub cache (default: as HF_HUB_CACHE and HF_HOME say)")
    .option("--offline", "use only what the cache holds")
    .addOption(new Option("--log-level <level>", "what to log (default: info)").choices(levels));
}

function deviceOptions(command: Command, whatJsonDoes = "print JSON"): Command {
  return command
    .option("-c, --config <file>", "settings (default: ./neuron.toml, if there is one)")
    .option("-d, --device <index>", "device by its index in `neuron devices`", integer)
    .option("--adapter <name>", "device by a part of its name, or lavapipe, swiftshader")
    .addOption(json(whatJsonDoes));
}

function storeOptions(command: Command): Command {
  return command
    .option("-c, --config <file>", "settings (default: ./neuron.toml, if there is one)")
    .option("--cache-dir <folder>", "the hub cache (default: as HF_HUB_CACHE and HF_HOME say)")
    .addOption(json("print JSON"));
}

function json(description: string): Option {
  return new Option("--json", description);
}

function integer(text: string): number {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError("Expected a whole number.");
  return Number(text);
}

function collect(value: string, before: string[] = []): string[] {
  return [...before, value];
}

function configOf(flags: ServeFlags, env: NodeJS.ProcessEnv): { config: Config; file: string | undefined } {
  return loadConfig({
    file: flags.config,
    env,
    flags: {
      host: flags.host,
      port: flags.port,
      device: flags.device,
      adapter: flags.adapter,
      context_length: flags.context,
      log_level: flags.logLevel,
      log_format: flags.json ? "json" : undefined,
      hub: { cache_folder: flags.cacheDir, offline: flags.offline },
      default_models: flags.model?.map((model_id) => ({ model_id })),
    },
  });
}

async function serve(flags: ServeFlags, { env, openEngine }: World): Promise<number> {
  const { config, file } = configOf(flags, env);
  const log = createLog({ level: config.log_level, json: config.log_format === "json" });
  if (file !== undefined) log.info(`settings from ${file}`);
  const { startDaemon } = await import("./daemon.ts");
  let stop: () => void = () => process.exit(0);
  const stopped = new Promise<void>((resolve) => {
    onSignals(log, () => {
      stop();
      resolve();
    });
  });
  const daemon = await startDaemon(config, { log, env, openEngine });
  stop = () => log.info("stopping: running requests may finish; once more ends at once");
  await stopped;
  await daemon.stop();
  return 0;
}

/** npx and the terminal both pass a Ctrl-C on, so it may arrive twice at once, ms. */
const sameKeyMs = 500;

/** The first signal asks, a later one insists. A parent that dies takes the daemon along: its channel closes. */
function onSignals(log: Log, stop: () => void): void {
  let asked: number | undefined;
  const signal = () => {
    if (asked === undefined) {
      asked = performance.now();
      stop();
    } else if (performance.now() - asked > sameKeyMs) {
      log.warn("ended at once");
      process.exit(1);
    }
  };
  process.on("SIGINT", signal).on("SIGTERM", signal);
  if (process.connected) process.once("disconnect", stop);
}

async function runDoctor(flags: DeviceFlags, { env }: World): Promise<number> {
  const { doctor, formatDoctor } = await import("./doctor.ts");
  const { device, adapter } = configOf(flags, env).config;
  const report = await doctor({ device, adapter });
  print(flags.json ? JSON.stringify(report, undefined, 2) : formatDoctor(report).trimEnd());
  return "error" in report.chosen ? 1 : 0;
}

async function runDevices(flags: { json?: boolean }): Promise<number> {
  const { formatDevices, listDevices } = await import("./doctor.ts");
  const devices = await listDevices();
  print(flags.json ? JSON.stringify(devices, undefined, 2) : formatDevices(devices).trimEnd());
  return 0;
}

interface VerifyFlags extends DeviceFlags {
  case?: string[];
  tolerance: "f32" | "bf16";
}

async function runVerify(folder: string, flags: VerifyFlags, { env }: World): Promise<number> {
  const { verify } = await import("./verify.ts");
  const { device, adapter } = configOf(flags, env).config;
  const chosen = {
    ...(device === undefined ? {} : { device }),
    ...(adapter === undefined ? {} : { adapter }),
  };
  const settings = { ...chosen, json: flags.json ?? false, mode: flags.tolerance, cases: flags.case ?? [] };
  return (await verify(folder, settings, print)) ? 0 : 1;
}

async function runPull(reference: string, flags: StoreFlags, { env }: World): Promise<number> {
  const { config } = configOf(flags, env);
  const stop = new AbortController();
  process.once("SIGINT", () => stop.abort(new EngineError("cancelled", "stopped; run again to continue")));
  const log = createLog({ level: config.log_level, json: false });
  const folder = await pull(reference, hubFrom(env, config.hub), log, stop.signal);
  log.info(`${reference}: complete`);
  print(flags.json ? JSON.stringify({ id: reference, folder }) : folder);
  return 0;
}

async function runLs(flags: StoreFlags, { env }: World): Promise<number> {
  const hub = hubFrom(env, configOf(flags, env).config.hub);
  const models = await storedModels(hub);
  print(flags.json ? JSON.stringify(models, undefined, 2) : formatModels(models, hub));
  return 0;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
