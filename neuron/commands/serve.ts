// `neuron serve`, and `neuron` alone: the daemon in the foreground, until a signal ends it.

import { Option } from "commander";
import type { Command } from "commander";
import { EngineError } from "../../engine/errors.ts";
import { createLog, levels } from "../log.ts";
import type { Log } from "../log.ts";
import { defaultPort } from "../protocol.ts";
import type { Act, World } from "./command.ts";
import { collect, deviceOptions, integer, settings, spreadOptions } from "./flags.ts";
import type { ServeFlags } from "./flags.ts";

export function addServe(program: Command, act: Act): void {
  serveOptions(program)
    .allowExcessArguments()
    .action(async (flags: ServeFlags, { args }: Command) => {
      if (args.length > 0) program.error(`error: unknown command '${args[0]}'`);
      await act(serve)(flags);
    });
  serveOptions(program.command("serve").description("serve models (the default)")).action(act(serve));
}

function serveOptions(command: Command): Command {
  return spreadOptions(deviceOptions(command, "write log lines as JSON"))
    .option("--host <address>", "address to listen on; 0.0.0.0 for the network (default: 127.0.0.1)")
    .option("-p, --port <number>", `port to listen on; 0 for any free one (default: ${defaultPort})`, integer)
    .option(
      "-m, --model <ref>",
      "folder, .gguf file, org/name[@revision][:quant] or demo; may be repeated",
      collect,
    )
    .option("--quant <type>", "form of the weights: q4_k and the like, or a GGUF file's label (Q4_K_M)")
    .option("--context <tokens>", "tokens of prompt and answer together", integer)
    .option("--cache-dir <folder>", "the hub cache (default: as HF_HUB_CACHE and HF_HOME say)")
    .option("--offline", "use only what the cache holds")
    .option("--autotune", "measure which kernels suit the device (default: on hardware)")
    .option("--no-autotune", "go by the kernels that ship with the program")
    .option("--strict", "the same tokens for the same request on every run")
    .addOption(new Option("--log-level <level>", "what to log (default: info)").choices(levels));
}

async function serve({ env, openEngine }: World, flags: ServeFlags): Promise<number> {
  const { config, file } = settings(flags, env);
  const log = createLog({ level: config.log_level, json: config.log_format === "json" });
  if (file !== undefined) log.info(`settings from ${file}`);
  const { startDaemon } = await import("../daemon.ts");
  // To exit while a device is being opened would be an abort: it is opened, and closed.
  let stop: () => void = () => log.info("stopping once the device is open; once more ends at once");
  const stopped = new Promise<void>((resolve) => {
    onSignals(log, () => {
      stop();
      resolve();
    });
  });
  const daemon = await startDaemon(config, { log, env, openEngine }).catch((error: unknown) => {
    if (config.log_format !== "json" || !(error instanceof EngineError)) throw error;
    log.error(error.message);
  });
  if (!daemon) return 1;
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
