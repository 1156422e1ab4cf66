// The body of GET /api/fleet. Pure.

import type { Loadable } from "./catalogue.ts";
import { modelItems } from "./catalogue.ts";
import type { ModelsConfig } from "../config.ts";
import type {
  FleetReport,
  Happening,
  LoadReport,
  NeuronReport,
  PlacedModel,
  TrafficReport,
} from "./protocol.ts";
import type { Fleet, ModelView, NeuronView } from "./fleet.ts";
import type { CircuitOf } from "./health.ts";
import { statusOf } from "./health.ts";

export interface About {
  version: string;
  uptimeS: number;
  models: ModelsConfig;
  traffic: TrafficReport[];
  loads: LoadReport[];
  happenings: Happening[];
  circuitOf: CircuitOf;
  /** Tell why loads and restarts failed: in their neuron's words, which may hold paths. */
  tellsErrors: boolean;
  isPinned(neuron: string, model: string): boolean;
  loadable: Loadable;
}

export function fleetReport({ neurons }: Fleet, about: About): FleetReport {
  const { version, uptimeS, models, traffic, loads } = about;
  const happenings = about.tellsErrors ? about.happenings : about.happenings.map(withoutWords);
  return {
    ...{ version, uptime_secs: Math.floor(uptimeS), status: statusOf(neurons, about.circuitOf) },
    neurons: neurons.map((neuron) => neuronReport(neuron, about)),
    models: modelItems(neurons, models, 0, about.loadable),
    ...{ traffic, loads, happenings },
  };
}

function withoutWords({ reason, ...happening }: Happening): Happening {
  const isOurs = happening.what === "unloaded" && reason !== undefined;
  return { ...happening, ...(isOurs && { reason }) };
}

function neuronReport(neuron: NeuronView, about: About): NeuronReport {
  const { isPinned, circuitOf } = about;
  const { name, kind, state, draining, reason, hostname, version } = neuron;
  return {
    ...{ name, kind, state, draining, circuit: circuitOf(name) },
    ...(reason !== undefined && { reason }),
    ...(hostname !== undefined && { hostname }),
    ...(version !== undefined && { version }),
    devices: neuron.devices.map(({ index, name, kind, totalMb, usedMb }) => ({
      ...{ index, name, kind, vram_total_mb: totalMb, vram_used_mb: usedMb },
    })),
    // What an unreachable neuron had is not known to be there any more.
    models: (state === "healthy" ? neuron.models : []).map((model) => ({
      ...placedModel(model, isPinned(name, model.id)),
      ...(about.tellsErrors && model.error !== undefined && { error: model.error }),
    })),
  };
}

function placedModel(model: ModelView, pinned: boolean): PlacedModel {
  const { id, status, percent, figures, use } = model;
  return {
    ...{ id, status, devices: figures.devices, vram_used_mb: figures.memoryMb },
    in_flight: Math.max(0, model.inFlight + model.ahead),
    queue_depth: model.queueDepth,
    ...{ pinned, leaving: use.leaving !== undefined },
    tok_s_prefill: figures.prefillRate,
    tok_s_decode: figures.decodeRate,
    ...(percent !== undefined && { percent }),
    ...(figures.phase !== undefined && { phase: figures.phase }),
  };
}
