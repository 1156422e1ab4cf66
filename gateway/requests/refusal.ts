// What a client is told when the router has no neuron for it. Pure. Names models, never neurons' addresses.

import type { ModelsConfig } from "../config.ts";
import { GatewayError } from "../errors.ts";
import type { NeuronView } from "../fleet/fleet.ts";
import type { Decision } from "../fleet/router.ts";
import { loadedModels } from "../fleet/router.ts";

export function refusalOf(
  decision: Exclude<Decision, { kind: "send" }>,
  model: string,
  { neurons, models }: { neurons: readonly NeuronView[]; models: ModelsConfig },
): GatewayError {
  const name = `'${model.length > 200 ? `${model.slice(0, 200)}…` : model}'`;
  switch (decision.kind) {
    case "loading": {
      const far = decision.percent === undefined ? "" : ` (${decision.percent} %)`;
      return new GatewayError("model_loading", `The model ${name} is loading${far}; try again shortly.`);
    }
    case "unavailable":
      return new GatewayError(
        "model_unavailable",
        `The model ${name} cannot serve now: it is ${decision.status}.`,
      );
    case "unreachable":
      return new GatewayError("model_unavailable", `The neuron with the model ${name} is out of reach.`);
    case "no_neuron":
      return new GatewayError("no_healthy_neuron", absence(neurons));
    case "unknown":
      return new GatewayError("model_not_found", unknown(name, model, neurons, models), "model");
  }
}

function absence(neurons: readonly NeuronView[]): string {
  if (neurons.some(({ state }) => state === "starting"))
    return "The neuron is still starting; try again shortly.";
  return neurons.length === 1
    ? "The one neuron of this gateway is out of reach."
    : `None of the ${neurons.length} neurons of this gateway is in reach.`;
}

function unknown(name: string, model: string, neurons: readonly NeuronView[], models: ModelsConfig): string {
  const loaded = loadedModels(neurons);
  const have = loaded.length > 0 ? `Loaded are: ${loaded.join(", ")}.` : "No model is loaded.";
  const entry = models.models.find(({ id }) => id === model);
  if (entry === undefined) return `The model ${name} does not exist. ${have}`;
  const source = entry.source === undefined ? "" : ` (${entry.source})`;
  return `The model ${name}${source} is in the catalogue but no neuron has loaded it. ${have}`;
}
