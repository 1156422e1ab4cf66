// What the routes work with: made once by serve.ts, handed to every route module.

import type { Dispatcher } from "undici";
import type { Door } from "./auth.ts";
import type { ModelsConfig } from "./config.ts";
import type { Fleet } from "./fleet.ts";
import type { Ledger } from "./ledger.ts";
import type { Log } from "./log.ts";
import type { Metrics } from "./metrics.ts";
import type { Page } from "./page.ts";
import type { Store } from "./store.ts";
import type { StoredResponses } from "./stored-responses.ts";
import type { Traffic } from "./traffic.ts";
import type { Usage } from "./usage.ts";

export interface Gateway {
  fleet: Fleet;
  models: ModelsConfig;
  dispatcher: Dispatcher;
  log: Log;
  metrics: Metrics;
  traffic: Traffic;
  /** Undefined where it has not been built. */
  page: Page | undefined;
  store: Store;
  responses: StoredResponses;
  door: Door;
  ledger: Ledger;
  usage: Usage;
  options: {
    responseTimeoutMs: number;
    idleMs: number;
    bodyLimitBytes: number;
    /** The longest silence towards a client whose stream we write; also, how long its headers may wait. */
    keepaliveMs: number;
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
}
