// `cortex status`: neurons, models and load of a running gateway.

import type { Command } from "commander";
import { status } from "../status.ts";
import { defaultEndpoint, print } from "./command.ts";
import type { Act } from "./command.ts";

export function addStatus(program: Command, act: Act): void {
  program
    .command("status")
    .description(
      "show neurons, models and load; exit code 1 when the fleet is degraded, 2 when no gateway answers",
    )
    .option("-e, --endpoint <url>", "address of the gateway", defaultEndpoint)
    .option("--json", "print JSON", false)
    .action(act(runStatus));
}

async function runStatus({ endpoint, json }: { endpoint: string; json: boolean }): Promise<number> {
  const { text, exitCode } = await status(endpoint, json);
  print(text);
  return exitCode;
}
