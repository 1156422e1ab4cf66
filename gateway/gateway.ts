// What the routes work with: made once by serve.ts, handed to every route module.

import type { Dispatcher } from "undici";
import type { ModelsConfig } from "./config.ts";
import type { Fleet } from "./fleet.ts";
import type { Log } from "./log.ts";
import type { Metrics } from "./metrics.ts";

export interface Gateway {
  fleet: Fleet;
  models: ModelsConfig;
  dispatcher: Dispatcher;
  log: Log;
  metrics: Metrics;
  options: { responseTimeoutMs: number; idleMs: number; bodyLimitBytes: number };
  version: string;
  /** Date.now() of the start. */
  startedAt: number;
  /** True once the gateway goes down: nothing new is begun. */
  draining: boolean;
  /** The requests under way; aborting one with a GatewayError ends it with that. */
  running: Set<AbortController>;
  /** Polls a neuron now. */
  nudge: (neuron: string) => void;
}
