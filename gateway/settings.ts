// What the parts are told by the configuration, in their own units. Made at the start, and changed in place on a reload.

import type { Door } from "./keys/auth.ts";
import type { BreakerOptions } from "./fleet/breaker.ts";
import type { Config, CortexConfig } from "./config.ts";
import type { Gateway } from "./gateway.ts";
import { KeyRing } from "./keys/keys.ts";
import { WatchedKeys } from "./keys/keys-file.ts";
import type { Log } from "./telemetry/log.ts";
import type { PollerOptions } from "./fleet/poller.ts";
import { openServer } from "./servers/server.ts";

export function requestOptions({ gateway: set, loading, eviction }: CortexConfig): Gateway["options"] {
  return {
    loading,
    eviction,
    responseTimeoutMs: set.response_timeout_s * 1000,
    idleMs: set.idle_timeout_s * 1000,
    bodyLimitBytes: Math.floor(set.body_limit_mb * 2 ** 20),
    keepaliveMs: set.keepalive_s * 1000,
    drainMs: set.drain_s * 1000,
  };
}

export function pollOptions({ poll }: CortexConfig): Omit<PollerOptions, "servers"> {
  return {
    intervalMs: poll.interval_s * 1000,
    loadingIntervalMs: Math.min(poll.loading_interval_s, poll.interval_s) * 1000,
    timeoutMs: poll.timeout_s * 1000,
  };
}

export function breakerOptions({ breaker }: CortexConfig): BreakerOptions {
  return {
    failures: breaker.failures,
    pauseMs: breaker.pause_s * 1000,
    longestPauseMs: Math.max(breaker.pause_s, breaker.longest_pause_s) * 1000,
  };
}

/** Throws ConfigError when keys are asked for and their file cannot be read. */
export function doorOf({ cortex, keysFile }: Pick<Config, "cortex" | "keysFile">, log: Log): Door {
  const { mode } = cortex.auth;
  const keys = mode === "off" ? undefined : new WatchedKeys(keysFile, log);
  return { mode, keys: () => keys?.current() ?? nobody };
}

const nobody = new KeyRing([]);

export function addNeuron(
  { fleet, servers }: Pick<Gateway, "fleet" | "servers">,
  neuron: CortexConfig["neurons"][number],
): void {
  const { name, endpoint, kind } = neuron;
  fleet.add(name, endpoint, { kind });
  if (kind === "openai") servers.set(name, openServer(neuron));
}
