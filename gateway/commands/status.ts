// `cortex status`: neurons, models and load of a running gateway, once or as they change.

import { InvalidArgumentError } from "commander";
import type { Command } from "commander";
import { fitted } from "../../kit/table.ts";
import { status } from "../inspect/status.ts";
import { watch } from "../inspect/watch.ts";
import { print } from "./command.ts";
import type { Act } from "./command.ts";
import { clientOf, clientOptions } from "./flags.ts";
import type { ClientFlags } from "./flags.ts";

interface StatusFlags extends ClientFlags {
  watch?: boolean;
  interval: number;
}

export function addStatus(program: Command, act: Act): void {
  const command = program
    .command("status")
    .description(
      "show neurons, models and load; exit code 1 when the fleet is degraded, 2 when no gateway answers",
    )
    .option("-w, --watch", "go on showing them, with requests and tokens a second, until Ctrl-C")
    .option("--interval <seconds>", "between two looks", seconds, 2);
  clientOptions(command).action(act(runStatus));
}

async function runStatus(flags: StatusFlags): Promise<number> {
  const client = clientOf(flags);
  if (flags.watch) return watchUntilStopped(flags);
  const { text, complaint, exitCode } = await status(client, flags.json ?? false);
  print(text);
  if (flags.json && complaint !== undefined) console.error(`cortex: ${complaint}`);
  return exitCode;
}

/** On a terminal one picture over the other; elsewhere one under the other, as JSON one a line. */
async function watchUntilStopped(flags: StatusFlags): Promise<number> {
  const stop = new AbortController();
  process.once("SIGINT", () => stop.abort()).once("SIGTERM", () => stop.abort());
  const onTerminal = process.stdout.isTTY && !flags.json;
  const show = (text: string) => {
    // Tables are cut where the terminal ends; one line, why there are none, may wrap.
    const shown = text.includes("\n") ? fitted(text, process.stdout) : text;
    print(onTerminal ? `\x1b[H${shown.replaceAll("\n", "\x1b[K\n")}\x1b[K\x1b[J` : text);
  };
  process.stdout.once("error", () => stop.abort()); // its reader has gone
  // The alternate screen: what was on the terminal is back afterwards.
  if (onTerminal) process.stdout.write("\x1b[?1049h\x1b[?25l");
  const settings = { json: flags.json ?? false, intervalMs: flags.interval * 1000, signal: stop.signal };
  try {
    await watch(clientOf(flags), settings, show);
  } finally {
    if (onTerminal) process.stdout.write("\x1b[?25h\x1b[?1049l");
  }
  return 0;
}

function seconds(text: string): number {
  const value = Number(text);
  if (!(value >= 0.1 && value <= 3600)) throw new InvalidArgumentError("Expected 0.1 to 3600 seconds.");
  return value;
}
