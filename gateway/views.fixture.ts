// Neurons and models as the fleet sees them, for tests of what decides by them. Without words: healthy, loaded, idle.

import type { DeviceView, ModelView, NeuronView, Use } from "./fleet.ts";

export interface Sight extends Partial<Omit<ModelView, "use" | "figures">> {
  memoryMb?: number | null;
  /** Indices of its neuron's devices. */
  devices?: number[];
  use?: Partial<Use>;
}

export function modelView(
  id: string,
  { memoryMb = null, devices = [0], use, ...more }: Sight = {},
): ModelView {
  const { status = "loaded" } = more;
  return {
    ...{ id, status, url: status === "loaded" ? `http://${id}` : undefined, capabilities: ["text"] },
    ...{ limit: undefined, toolCalls: false, reasoning: false, percent: undefined, error: undefined },
    ...{ inFlight: 0, queueDepth: 0, ahead: 0 },
    figures: { devices, memoryMb, prefillRate: null, decodeRate: null, phase: undefined },
    ...more,
    use: { running: 0, usedAt: 0, loadedAt: -Infinity, served: true, leaving: undefined, ...use },
  };
}

export function neuronView(
  name: string,
  models: ModelView[] = [],
  more: Partial<NeuronView> = {},
): NeuronView {
  return {
    ...{ name, kind: "neuron", endpoint: `http://${name}`, state: "healthy", strikes: 0, draining: false },
    ...{ reason: undefined, hostname: undefined, version: undefined, devices: [], cycles: 0, models },
    ...more,
  };
}

export function deviceView(totalMb: number | null, more: Partial<DeviceView> = {}): DeviceView {
  return { index: 0, name: "GPU", kind: "hardware", totalMb, usedMb: null, othersMb: null, ...more };
}
