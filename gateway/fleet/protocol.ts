// GET /api/fleet: what the page asks of the gateway, every few seconds. Types only, imported by both sides.
// Memory is in MiB, times in seconds; null means that nobody knows.

export interface FleetReport {
  version: string;
  uptime_secs: number;
  /** As in /health. */
  status: "ok" | "starting" | "degraded";
  neurons: NeuronReport[];
  /** As in /v1/models. */
  models: ListedModel[];
  /** What went through this gateway since it started. */
  traffic: TrafficReport[];
  /** Under way, by this gateway. */
  loads: LoadReport[];
  /** By this gateway, the newest first. */
  happenings: Happening[];
}

export interface NeuronReport {
  name: string;
  /** "openai": a server of another make, which loads by itself. */
  kind: "neuron" | "openai";
  state: "starting" | "healthy" | "unreachable";
  draining: boolean;
  /** As in /health: "open" and "half_open" while its last requests have failed. */
  circuit: "closed" | "open" | "half_open";
  /** Why the last poll failed. */
  reason?: string;
  hostname?: string;
  version?: string;
  devices: DeviceReport[];
  models: PlacedModel[];
}

export interface DeviceReport {
  index: number;
  name: string;
  /** "hardware" or "software". */
  kind: string;
  vram_total_mb: number | null;
  vram_used_mb: number | null;
}

/** A model that is being loaded, or waits for its turn or for room. */
export interface LoadReport {
  model: string;
  /** Absent until it has a place. */
  neuron?: string;
  phase: "waiting" | "making room" | "loading";
  /** Requests that wait for it. */
  waiting: number;
  secs: number;
  percent?: number;
}

/** Something that was done to the fleet. */
export interface Happening {
  /** Seconds since 1970. */
  at: number;
  what: "loaded" | "load_failed" | "unloaded" | "restarted" | "restart_failed";
  neuron: string;
  model?: string;
  secs?: number;
  reason?: string;
}

/** A model on one neuron. */
export interface PlacedModel {
  id: string;
  /** "loaded", "loading", "unloading", "failed", or a word of a newer neuron. */
  status: string;
  /** Indices of the neuron's devices. */
  devices: readonly number[];
  /** On all its devices together. */
  vram_used_mb: number | null;
  /** As the neuron said when last asked, corrected by what this gateway has sent and seen end since. */
  in_flight: number;
  queue_depth: number;
  /** It stays where it is, by models.toml or by an operator's word. */
  pinned: boolean;
  /** Takes no new requests: it is about to be unloaded, or its device to be started anew. */
  leaving: boolean;
  /** Moving averages over past requests. */
  tok_s_prefill: number | null;
  tok_s_decode: number | null;
  /** While it loads. */
  percent?: number;
  phase?: string;
  error?: string;
}

/** A name that a request may ask for. */
export interface ListedModel {
  id: string;
  loaded: boolean;
  locations: { neuron: string; status: string; percent?: number }[];
  /** Neurons that could load it, whatever lies there now. */
  feasible_on: string[];
  capabilities: string[];
  tool_call: boolean;
  reasoning: boolean;
  /** The model that this name stands for. */
  alias_of?: string;
  /** Tokens. */
  limit?: { context: number; output: number };
}

/** Ever growing, so that a reader takes the difference of two readings; a restart begins at zero. */
export interface TrafficReport {
  model: string;
  neuron: string;
  requests: number;
  errors: number;
  /** Of answers: as counted by the neuron where an answer has ended, by its pieces while it streams. */
  tokens: number;
  /** Streams that have begun to speak, and the sum of the seconds that they took to. */
  first_tokens: number;
  first_token_secs: number;
}
