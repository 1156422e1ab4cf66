// What flows through the gateway, by model and neuron, running answers included: for live plots, where Prometheus's
// counters would jump by a whole answer at its end.

import type { Exchange } from "./exchange.ts";
import type { TrafficReport } from "../fleet/protocol.ts";

export class Traffic {
  private readonly running = new Set<Exchange>();
  private readonly ended = new Map<string, TrafficReport>();

  begin(exchange: Exchange): void {
    this.running.add(exchange);
  }

  end(exchange: Exchange): void {
    this.running.delete(exchange);
    add(this.ended, exchange, flowOf(exchange, true));
  }

  /** By model, then neuron; requests that were never routed are in none. */
  report(): TrafficReport[] {
    const sums = new Map([...this.ended].map(([key, flow]) => [key, { ...flow }]));
    for (const exchange of this.running) add(sums, exchange, flowOf(exchange, false));
    return [...sums.keys()].sort().map((key) => sums.get(key)!);
  }
}

type Flow = Omit<TrafficReport, "model" | "neuron">;

function flowOf(exchange: Exchange, ended: boolean): Flow {
  const { seen, errorCode, startedAt } = exchange;
  const spoke = seen?.firstDeltaAt;
  return {
    requests: ended ? 1 : 0,
    errors: errorCode === undefined ? 0 : 1,
    tokens: seen?.usage?.completionTokens || seen?.deltas || 0, // usage begins with 0
    first_tokens: spoke === undefined ? 0 : 1,
    first_token_secs: spoke === undefined ? 0 : (spoke - startedAt) / 1000,
  };
}

function add(sums: Map<string, TrafficReport>, { model, neuron }: Exchange, flow: Flow): void {
  if (model === "" || neuron === "") return;
  const key = `${model}\n${neuron}`;
  const sum = sums.get(key);
  if (sum === undefined) {
    sums.set(key, { model, neuron, ...flow });
    return;
  }
  for (const name of Object.keys(flow) as (keyof Flow)[]) sum[name] += flow[name];
}
