// What the routes work with: made once by serve.ts, handed to every route module.

import type { Dispatcher } from "undici";
import type { Breakers } from "./breaker.ts";
import type { Door } from "./auth.ts";
import type { CortexConfig, ModelsConfig } from "./config.ts";
import type { Drains } from "./drains.ts";
import type { Fleet } from "./fleet.ts";
import type { Ledger } from "./ledger.ts";
import type { Log } from "./log.ts";
import type { Metrics } from "./metrics.ts";
import type { Page } from "./page.ts";
import type { Residency } from "./residency.ts";
import type { Server } from "./servers/server.ts";
import type { Store } from "./store.ts";
import type { StoredResponses } from "./stored-responses.ts";
import type { Traces } from "./traces.ts";
import type { Traffic } from "./traffic.ts";
import type { Usage } from "./usage.ts";

export interface Gateway {
  fleet: Fleet;
  models: ModelsConfig;
  dispatcher: Dispatcher;
  log: Log;
  metrics: Metrics;
  traffic: Traffic;
  /** Undefined without a collector. */
  traces: Traces | undefined;
  /** Undefined where it has not been built. */
  page: Page | undefined;
  store: Store;
  responses: StoredResponses;
  door: Door;
  ledger: Ledger;
  usage: Usage;
  drains: Drains;
  breakers: Breakers;
  residency: Residency;
  /** By name, those neurons that are servers of other makes. */
  servers: Map<string, Server>;
  options: {
    responseTimeoutMs: number;
    idleMs: number;
    bodyLimitBytes: number;
    /** The longest silence towards a client whose stream we write; also, how long its headers may wait. */
    keepaliveMs: number;
    /** How long running requests may take to end when the gateway goes down. */
    drainMs: number;
    loading: CortexConfig["loading"];
    eviction: CortexConfig["eviction"];
  };
  version: string;
  /** Date.now() of the start. */
  startedAt: number;
  /** True once the gateway goes down: nothing new is begun. */
  draining: boolean;
  /** The requests under way; aborting one with a GatewayError ends it with that. */
  running: Set<AbortController>;
  /** Polls a neuron now. */
  nudge: (neuron: string) => void;
  /** The same, and resolves when its answer is known. */
  refresh: (neuron: string) => Promise<void>;
}
