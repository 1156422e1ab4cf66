// The fleet's health as GET /health gives it and `cortex status` shows it. Pure. Neurons by name, not by address.

import type { BreakerState } from "./breaker.ts";
import type { Fleet, NeuronState, NeuronView } from "./fleet.ts";

export interface FleetHealth {
  /** "ok": every neuron is healthy, none is left alone, no model failed; "starting": some neuron has not been reached yet. */
  status: "ok" | "starting" | "degraded";
  version: string;
  uptime_secs: number;
  neurons: { healthy: number; total: number };
  fleet: NeuronHealth[];
}

export interface NeuronHealth {
  name: string;
  state: NeuronState;
  draining: boolean;
  /** "open": left alone for a while, for its last requests failed; "half_open": one may try. Of this gateway. */
  circuit: BreakerState;
  reason?: string;
  hostname?: string;
  version?: string;
  devices: {
    index: number;
    name: string;
    kind: string;
    vram_total_mb: number | null;
    vram_used_mb: number | null;
  }[];
  models: {
    id: string;
    status: string;
    in_flight: number;
    queue_depth: number;
    percent?: number;
    error?: string;
  }[];
}

export type CircuitOf = (neuron: string) => BreakerState;

export interface AboutHealth {
  version: string;
  uptimeS: number;
  circuitOf: CircuitOf;
  /** Tell why models failed: in their neuron's words, which may hold paths. */
  tellsErrors: boolean;
}

export function fleetHealth({ neurons }: Fleet, about: AboutHealth): FleetHealth {
  const { circuitOf } = about;
  return {
    status: statusOf(neurons, circuitOf),
    version: about.version,
    uptime_secs: Math.floor(about.uptimeS),
    neurons: { healthy: neurons.filter((n) => n.state === "healthy").length, total: neurons.length },
    fleet: neurons.map((neuron) => neuronHealth(neuron, about)),
  };
}

export function statusOf(neurons: readonly NeuronView[], circuitOf: CircuitOf): FleetHealth["status"] {
  const ill = (n: NeuronView) =>
    n.state === "unreachable" ||
    n.draining ||
    circuitOf(n.name) === "open" ||
    n.models.some(({ status }) => status === "failed");
  if (neurons.length === 0 || neurons.some(ill)) return "degraded";
  return neurons.some(({ state }) => state === "starting") ? "starting" : "ok";
}

function neuronHealth(neuron: NeuronView, { circuitOf, tellsErrors }: AboutHealth): NeuronHealth {
  const { name, state, draining, reason, hostname, version } = neuron;
  return {
    ...{ name, state, draining, circuit: circuitOf(name) },
    ...(reason !== undefined && { reason }),
    ...(hostname !== undefined && { hostname }),
    ...(version !== undefined && { version }),
    devices: neuron.devices.map(({ index, name, kind, totalMb, usedMb }) => ({
      ...{ index, name, kind, vram_total_mb: totalMb, vram_used_mb: usedMb },
    })),
    // What an unreachable neuron had is not known to be there any more.
    models: (state === "healthy" ? neuron.models : []).map((model) => ({
      ...{ id: model.id, status: model.status, in_flight: model.inFlight, queue_depth: model.queueDepth },
      ...(model.percent !== undefined && { percent: model.percent }),
      ...(tellsErrors && model.error !== undefined && { error: model.error }),
    })),
  };
}
