// `cortex serve`, and `cortex` alone: the gateway in the foreground, until a signal ends it.

import { closeSync, openSync } from "node:fs";
import type { Command } from "commander";
import { loadConfig } from "../config.ts";
import type { Sources } from "../config.ts";
import { serve } from "../serve.ts";
import type { Running } from "../serve.ts";
import { packageVersion } from "../version.ts";
import { print } from "./command.ts";
import type { Act } from "./command.ts";

interface ServeFlags {
  config?: string;
  listen?: string;
  metricsListen?: string;
  model?: string;
}

export function addServe(program: Command, act: Act): void {
  program
    .command("serve", { isDefault: true })
    .description("run the gateway; with no neurons configured, also one local neuron")
    .option("-c, --config <file>", "cortex.toml (default: ./cortex.toml, if there is one)")
    .option("--listen <host:port>", "address of the API (default: 127.0.0.1:31313)")
    .option("--metrics-listen <host:port>", "address of the Prometheus metrics (default: 127.0.0.1:31314)")
    .option("--model <name>", "what the local neuron runs: demo, a folder, or org/name (default: demo)")
    .allowExcessArguments()
    .action(async (flags: ServeFlags, { args }: Command) => {
      // `cortex WORD` comes here too, where WORD is no command, or stands behind an option of this one.
      if (args.length > 0) program.error(misplaced(program, args));
      await act(runServe)(flags);
    });
}

function misplaced(program: Command, [word = "", ...more]: readonly string[]): string {
  const { rawArgs } = program as Command & { rawArgs: string[] }; // commander's types leave it out
  if (rawArgs[0] === "serve")
    return `error: too many arguments for 'serve'. Expected 0 arguments but got ${1 + more.length}.`;
  if (!program.commands.some((command) => command.name() === word)) return `error: unknown command '${word}'`;
  return `error: options go after the command: cortex ${word} …`;
}

/** Resolves once it serves; the process then ends by a signal, or when serving has become pointless. */
async function runServe(flags: ServeFlags): Promise<undefined> {
  let running: Running | undefined = undefined;
  const leave = (exitCode: number) => {
    void (running?.stop() ?? Promise.resolve()).finally(() => process.exit(exitCode));
  };
  onSignals(leave);
  const inTerminal = process.stdin.isTTY;
  process.on("SIGHUP", () => {
    if (inTerminal && isTerminalGone()) leave(0);
    else void running?.reload();
  });
  onOrphaned(() => leave(0));
  const sources = { file: flags.config, flags: asSettings(flags), env: process.env, folder: process.cwd() };
  const reread = () => loadConfig(sources);
  const onFatal = (message: string) => {
    console.error(`cortex: ${message}`);
    leave(1);
  };
  running = await serve({ ...reread(), version: packageVersion(), print, onFatal, reread });
}

function onSignals(leave: (exitCode: number) => void): void {
  let asked = 0;
  const onSignal = (signal: NodeJS.Signals) => {
    // npm passes a Ctrl-C on which the terminal has sent us already: only a later one means "now".
    if (asked > 0 && Date.now() - asked > 1000) process.exit(130);
    if (asked > 0) return;
    asked = Date.now();
    print(`${signal}: shutting down`);
    leave(0);
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
}

/** A terminal that is closed sends the same signal as who wants the configuration to be read again. */
function isTerminalGone(): boolean {
  try {
    closeSync(openSync("/dev/tty", "r"));
    return false;
  } catch {
    return true;
  }
}

/** npm runs us in a shell, and on SIGTERM ends that shell alone: we notice that our parent is another one. */
function onOrphaned(leave: () => void): void {
  if (process.env.npm_lifecycle_event === undefined) return;
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    leave();
  }, 500);
  timer.unref();
}

function asSettings({ listen, metricsListen, model }: ServeFlags): Sources["flags"] {
  return {
    "--listen": ["gateway.listen", listen],
    "--metrics-listen": ["gateway.metrics_listen", metricsListen],
    "--model": ["local_neuron.model", model],
  };
}
