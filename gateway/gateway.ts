// What the routes work with: made once by serve.ts, handed to every module of routes/.

import type { Dispatcher } from "undici";
import type { Breakers } from "./fleet/breaker.ts";
import type { Door } from "./keys/auth.ts";
import type { CortexConfig, ModelsConfig } from "./config.ts";
import type { Drains } from "./fleet/drains.ts";
import type { Fleet } from "./fleet/fleet.ts";
import type { Ledger } from "./keys/ledger.ts";
import type { Log } from "./telemetry/log.ts";
import type { Metrics } from "./telemetry/metrics.ts";
import type { Page } from "./page/page.ts";
import type { Residency } from "./residency/residency.ts";
import type { Server } from "./servers/server.ts";
import type { Store } from "./store/store.ts";
import type { Stop } from "./wire/stop.ts";
import type { StoredResponses } from "./requests/stored-responses.ts";
import type { Traces } from "./telemetry/traces.ts";
import type { Traffic } from "./telemetry/traffic.ts";
import type { Usage } from "./keys/usage.ts";

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
  running: Set<Stop>;
  /** Polls a neuron now. */
  nudge: (neuron: string) => void;
  /** The same, and resolves when its answer is known. */
  refresh: (neuron: string) => Promise<void>;
}
