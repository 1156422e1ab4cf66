// `cortex status --watch`: the tables of `cortex status` again and again, and what went through the gateway in between.

import { setTimeout as sleep } from "node:timers/promises";
import { call } from "../../kit/client.ts";
import type { Client } from "../../kit/client.ts";
import { table } from "../../kit/table.ts";
import type { FleetReport, TrafficReport } from "../fleet/protocol.ts";
import { status } from "./status.ts";

export interface WatchSettings {
  json: boolean;
  intervalMs: number;
  signal: AbortSignal;
}

interface Look {
  at: number;
  traffic: TrafficReport[];
}

/** Shows until the signal; a gateway that is away is shown as such, and awaited. */
export async function watch(
  client: Client,
  { json, intervalMs, signal }: WatchSettings,
  show: (text: string) => void,
): Promise<void> {
  let before: Look | undefined;
  while (!signal.aborted) {
    const { text } = await status(client, json, { compact: true });
    const now = await look(client);
    const rates = now && before ? ratesOf(before, now) : [];
    show(json ? text : [text, ...(rates.length > 0 ? [rates.join("\n")] : [])].join("\n\n"));
    before = now;
    await sleep(intervalMs, undefined, { signal }).catch(() => {});
  }
}

async function look(client: Client): Promise<Look | undefined> {
  try {
    const { traffic } = (await call(client, "/api/fleet", {
      signal: AbortSignal.timeout(5000),
    })) as FleetReport;
    return { at: performance.now(), traffic };
  } catch {
    return undefined; // the tables say why already
  }
}

/** A line for each place that answered since the last look. Exported for its test. */
export function ratesOf(before: Look, now: Look): string[] {
  const seconds = (now.at - before.at) / 1000;
  const rows = now.traffic.flatMap((latest) => {
    const earlier = before.traffic.find((t) => t.model === latest.model && t.neuron === latest.neuron);
    const since = (key: "requests" | "errors" | "tokens" | "first_tokens" | "first_token_secs") =>
      // Smaller than before: the gateway was started anew.
      latest[key] - (earlier && earlier[key] <= latest[key] ? earlier[key] : 0);
    if (since("requests") + since("tokens") === 0) return [];
    const firsts = since("first_tokens");
    return [
      [
        ...[latest.model, latest.neuron],
        ...[(since("requests") / seconds).toFixed(1), String(since("errors"))],
        (since("tokens") / seconds).toFixed(1),
        firsts > 0 ? `${(since("first_token_secs") / firsts).toFixed(2)} s` : "",
      ],
    ];
  });
  if (rows.length === 0) return [];
  return table(["MODEL", "NEURON", "REQUESTS/S", "ERRORS", "TOKENS/S", "FIRST TOKEN"], rows);
}
