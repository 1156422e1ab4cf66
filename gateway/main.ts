#!/usr/bin/env node
// The `cortex` command. Flags are parsed here, everything else is done elsewhere.

import { Command } from "commander";
import { ConfigError, loadConfig } from "./config.ts";
import type { Running } from "./serve.ts";
import { serve } from "./serve.ts";
import { status } from "./status.ts";
import { packageVersion } from "./version.ts";

interface ServeFlags {
  config?: string;
  listen?: string;
  metricsListen?: string;
  model?: string;
}

// Who reads our output may leave first (`cortex status | head`, a closed terminal): that is no error.
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});

const program = new Command("cortex")
  .description("One OpenAI-compatible address in front of any number of neurons")
  .version(packageVersion());

program
  .command("serve", { isDefault: true })
  .description("run the gateway; with no neurons configured, also one local neuron")
  .option("-c, --config <file>", "cortex.toml (default: ./cortex.toml, if there is one)")
  .option("--listen <host:port>", "address of the API (default: 127.0.0.1:31313)")
  .option("--metrics-listen <host:port>", "address of the Prometheus metrics (default: 127.0.0.1:31314)")
  .option("--model <name>", "what the local neuron runs: demo, a folder, or org/name (default: demo)")
  .action((flags: ServeFlags) => runServe(flags));

program
  .command("status")
  .description(
    "show neurons, models and load; exit code 1 when the fleet is degraded, 2 when no gateway answers",
  )
  .option("-e, --endpoint <url>", "address of the gateway", "http://127.0.0.1:31313")
  .option("--json", "print JSON", false)
  .action(async ({ endpoint, json }: { endpoint: string; json: boolean }) => {
    const { text, exitCode } = await status(endpoint, json);
    console.log(text);
    process.exitCode = exitCode;
  });

await program.parseAsync();

async function runServe(flags: ServeFlags): Promise<void> {
  let running: Running | undefined;
  const leave = (exitCode: number) => {
    void (running?.stop() ?? Promise.resolve()).finally(() => process.exit(exitCode));
  };
  let asked = 0;
  const onSignal = (signal: NodeJS.Signals) => {
    // npm passes a Ctrl-C on which the terminal has sent us already: only a later one means "now".
    if (asked > 0 && Date.now() - asked > 1000) process.exit(130);
    if (asked > 0) return;
    asked = Date.now();
    console.log(`${signal}: shutting down`);
    leave(0);
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  onOrphaned(() => leave(0));
  try {
    const config = loadConfig({
      file: flags.config,
      flags: asConfig(flags),
      env: process.env,
      cwd: process.cwd(),
    });
    const onFatal = (message: string) => {
      console.error(`cortex: ${message}`);
      leave(1);
    };
    running = await serve({
      ...config,
      version: packageVersion(),
      print: (line) => console.log(line),
      onFatal,
    });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    console.error(`cortex: ${error.message}`);
    process.exit(1);
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

function asConfig({ listen, metricsListen, model }: ServeFlags): Record<string, unknown> {
  const gateway = { listen, metrics_listen: metricsListen };
  return { gateway, ...(model !== undefined && { local_neuron: { model } }) };
}
