// Options of the commands that talk to a running gateway.

import type { Command } from "commander";
import type { Client } from "../../kit/client.ts";
import { endpoint } from "../../kit/endpoint.ts";

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
