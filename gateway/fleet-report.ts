// The body of GET /api/fleet. Pure.

import { modelItems } from "./catalogue.ts";
import type { ModelsConfig } from "./config.ts";
import type { FleetReport, NeuronReport, PlacedModel, TrafficReport } from "./fleet-protocol.ts";
import type { Fleet, ModelView, NeuronView } from "./fleet.ts";
import { statusOf } from "./health.ts";

export interface About {
  version: string;
  uptimeS: number;
  models: ModelsConfig;
  traffic: TrafficReport[];
}

export function fleetReport({ neurons }: Fleet, { version, uptimeS, models, traffic }: About): FleetReport {
  return {
    ...{ version, uptime_secs: Math.floor(uptimeS), status: statusOf(neurons) },
    neurons: neurons.map(neuronReport),
    models: modelItems(neurons, models, 0),
    traffic,
  };
}

function neuronReport(neuron: NeuronView): NeuronReport {
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
    models: state === "healthy" ? neuron.models.map(placedModel) : [],
  };
}

function placedModel(model: ModelView): PlacedModel {
  const { id, status, percent, error, figures } = model;
  return {
    ...{ id, status, devices: figures.devices, vram_used_mb: figures.memoryMb },
    in_flight: Math.max(0, model.inFlight + model.ahead),
    queue_depth: model.queueDepth,
    tok_s_prefill: figures.prefillRate,
    tok_s_decode: figures.decodeRate,
    ...(percent !== undefined && { percent }),
    ...(figures.phase !== undefined && { phase: figures.phase }),
    ...(error !== undefined && { error }),
  };
}
