// The fleet's health as GET /health gives it and `cortex status` shows it. Pure. Neurons by name, not by address.

import type { Fleet, NeuronState, NeuronView } from "./fleet.ts";

export interface FleetHealth {
  /** "ok": every neuron is healthy and no model failed; "starting": some neuron has not been reached yet. */
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

export function fleetHealth(fleet: Fleet, about: { version: string; uptimeS: number }): FleetHealth {
  const { neurons } = fleet;
  return {
    status: statusOf(neurons),
    version: about.version,
    uptime_secs: Math.floor(about.uptimeS),
    neurons: { healthy: neurons.filter((n) => n.state === "healthy").length, total: neurons.length },
    fleet: neurons.map(neuronHealth),
  };
}

export function statusOf(neurons: readonly NeuronView[]): FleetHealth["status"] {
  const ill = (n: NeuronView) =>
    n.state === "unreachable" || n.draining || n.models.some(({ status }) => status === "failed");
  if (neurons.length === 0 || neurons.some(ill)) return "degraded";
  return neurons.some(({ state }) => state === "starting") ? "starting" : "ok";
}

function neuronHealth(neuron: NeuronView): NeuronHealth {
  const { name, state, draining, reason, hostname, version } = neuron;
  return {
    ...{ name, state, draining },
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
      ...(model.error !== undefined && { error: model.error }),
    })),
  };
}
