// The models of the whole fleet as one list: what models.toml names, and what the neurons say they have. Pure.

import type { ModelsConfig } from "../config.ts";
import type { ModelView, NeuronView } from "./fleet.ts";
import { modalitiesOf, type Modalities } from "../../neuron/protocol.ts";

/** An element of /v1/models: OpenAI's four fields, then ours, then the context length in the names that clients read. */
export interface ModelItem {
  id: string;
  object: "model";
  created: number;
  owned_by: "cortex";
  loaded: boolean;
  locations: { neuron: string; status: string; percent?: number }[];
  /** Neurons that could load it, whatever lies there now. */
  feasible_on: string[];
  capabilities: string[];
  /** Absent until a neuron has said what it is. */
  modalities?: Modalities;
  tool_call: boolean;
  reasoning: boolean;
  /** Other names of it. */
  aliases: string[];
  /** On the entry of an alias: the model that it stands for. */
  alias_of?: string;
  /** From models.toml. */
  source?: string;
  /** The tightest of the neurons that have it loaded. */
  limit?: { context: number; output: number };
  max_model_len?: number;
  context_length?: number;
  context_window?: number;
}

/** The concrete id of a model, for a name that may be an alias. */
export function concreteId(models: ModelsConfig, name: string): string {
  return Object.hasOwn(models.aliases, name) ? models.aliases[name]! : name;
}

/** What can be brought into the fleet. */
export interface Loadable {
  ids: readonly string[];
  feasibleOn(model: string): string[];
}

/** Every model and alias, by id. `created` is in seconds since 1970; an alias of a model nobody knows is left out. */
export function modelItems(
  neurons: readonly NeuronView[],
  config: ModelsConfig,
  created: number,
  loadable: Loadable,
): ModelItem[] {
  const places = neurons
    .filter((neuron) => neuron.state === "healthy")
    .flatMap((neuron) => neuron.models.map((model) => ({ neuron: neuron.name, model })));
  const ids = new Set([...config.models.map((m) => m.id), ...loadable.ids, ...places.map((p) => p.model.id)]);
  const items = [...ids].map((id) => {
    const source = config.models.find((m) => m.id === id)?.source;
    const here = places.filter((p) => p.model.id === id);
    const aliases = Object.keys(config.aliases).filter((alias) => config.aliases[alias] === id);
    const own = { feasible_on: loadable.feasibleOn(id), aliases: aliases.sort() };
    return { ...item(id, here, created), ...own, ...(source !== undefined && { source }) };
  });
  const named = items.flatMap((item) =>
    item.aliases
      .filter((alias) => !ids.has(alias))
      .map((alias) => ({ ...item, id: alias, aliases: [], alias_of: item.id })),
  );
  return [...items, ...named].sort((a, b) => (a.id < b.id ? -1 : 1));
}

function item(id: string, here: { neuron: string; model: ModelView }[], created: number): ModelItem {
  const models = here.map((p) => p.model);
  const loaded = models.filter((m) => m.status === "loaded");
  const limits = loaded.flatMap((m) => (m.limit ? [m.limit] : []));
  const capabilities = [...new Set(models.flatMap((m) => m.capabilities))].sort();
  return {
    ...{ id, object: "model" as const, created, owned_by: "cortex" as const },
    loaded: loaded.length > 0,
    locations: here.map(({ neuron, model }) => ({
      neuron,
      status: model.status,
      ...(model.percent !== undefined && { percent: model.percent }),
    })),
    capabilities,
    ...(capabilities.length > 0 && { modalities: modalitiesOf(capabilities) }),
    tool_call: models.some((m) => m.toolCalls),
    reasoning: models.some((m) => m.reasoning),
    ...{ aliases: [], feasible_on: [] },
    ...(limits.length > 0 && limitFields(limits)),
  };
}

function limitFields(limits: { context: number; output: number }[]) {
  const context = Math.min(...limits.map((l) => l.context));
  const output = Math.min(...limits.map((l) => l.output));
  return {
    limit: { context, output },
    max_model_len: context,
    context_length: context,
    context_window: context,
  };
}
