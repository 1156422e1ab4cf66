// A server of another make in the fleet: llama.cpp, vLLM, Ollama, LM Studio, or whatever else answers chat completions.
// It is asked for its models and routed to like a neuron, but has no lifecycle.

export interface Server {
  /** What it wants as a bearer token. */
  apiKey: string | undefined;
  /** Our ids of its models, where they differ from its own: id → its own name. */
  names: ReadonlyMap<string, string>;
}

export function openServer(config: {
  api_key?: string | undefined;
  models?: Readonly<Record<string, string>> | undefined;
}): Server {
  return { apiKey: config.api_key, names: new Map(Object.entries(config.models ?? {})) };
}

/** People write the address with /v1 behind it, as these servers' own pages do. */
export function baseOf(endpoint: string): string {
  return endpoint.replace(/\/+$/, "").replace(/\/v1$/, "");
}

export function keyHeaders({ apiKey }: Server): Record<string, string> {
  return apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` };
}
