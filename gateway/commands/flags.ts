// Options of the commands that talk to a running gateway.

import { InvalidArgumentError } from "commander";
import type { Command } from "commander";
import { addressFrom } from "../../kit/client.ts";
import type { Client } from "../../kit/client.ts";

export interface ClientFlags {
  endpoint: string;
  key?: string;
  json?: boolean;
}

const defaultEndpoint = "http://127.0.0.1:31313";

export function clientOptions(command: Command): Command {
  return command
    .option("-e, --endpoint <url>", "address of the gateway", endpoint, defaultEndpoint)
    .option("--key <key>", "an API key (default: the variable CORTEX_API_KEY)")
    .option("--json", "print JSON");
}

export function clientOf({ endpoint, key = process.env["CORTEX_API_KEY"] }: ClientFlags): Client {
  return { endpoint, key };
}

function endpoint(text: string): string {
  const address = addressFrom(text);
  if (address === undefined) throw new InvalidArgumentError("Expected http://host:port.");
  return address;
}
