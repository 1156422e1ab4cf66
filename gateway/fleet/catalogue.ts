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
  /** From models.toml: US dollars for a million tokens. */
  cost?: Listed["cost"];
  /** The tightest of the neurons that have it loaded; of one that is not loaded, as when it last was. */
  limit?: { context: number; output: number };
  max_input_tokens?: number;
  max_output_tokens?: number;
  max_model_len?: number;
  context_length?: number;
  context_window?: number;
}

type Listed = ModelsConfig["models"][number];

/** The concrete id of a model, for a name that may be an alias. */
export function concreteId(models: ModelsConfig, name: string): string {
  return Object.hasOwn(models.aliases, name) ? models.aliases[name]! : name;
}

/** What can be brought into the fleet. */
export interface Loadable {
  ids: readonly string[];
  feasibleOn(model: string): string[];
  /** When it was last loaded anywhere. */
  limitOf(model: string): ModelView["limit"];
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
    const listed = config.models.find((m) => m.id === id);
    const here = places.filter((p) => p.model.id === id);
    const aliases = Object.keys(config.aliases).filter((alias) => config.aliases[alias] === id);
    const own = { feasible_on: loadable.feasibleOn(id), aliases: aliases.sort() };
    const about = { limit: loadable.limitOf(id), context: listed?.context_length };
    return { ...item(id, here, created, about), ...own, ...toldBy(listed) };
  });
  const named = items.flatMap((item) =>
    item.aliases
      .filter((alias) => !ids.has(alias))
      .map((alias) => ({ ...item, id: alias, aliases: [], alias_of: item.id })),
  );
  return [...items, ...named].sort((a, b) => (a.id < b.id ? -1 : 1));
}

function toldBy(listed: Listed | undefined): Pick<ModelItem, "source" | "cost"> {
  const { source, cost } = listed ?? {};
  return { ...(source !== undefined && { source }), ...(cost !== undefined && { cost }) };
}

/** What is known of the limits of a model that is not loaded. */
interface Otherwise {
  limit: ModelView["limit"];
  context: number | undefined;
}

function item(
  id: string,
  here: { neuron: string; model: ModelView }[],
  created: number,
  otherwise: Otherwise,
): ModelItem {
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
    ...limitFields(limits, otherwise),
  };
}

function limitFields(limits: { context: number; output: number }[], otherwise: Otherwise) {
  const known = limits.length > 0 ? limits : otherwise.limit ? [otherwise.limit] : [];
  if (known.length === 0) return otherwise.context === undefined ? {} : contextFields(otherwise.context);
  const context = Math.min(...known.map((limit) => limit.context));
  const output = Math.min(...known.map((limit) => limit.output));
  return { limit: { context, output }, ...contextFields(context), max_output_tokens: output };
}

/** Each client reads another name. */
function contextFields(context: number) {
  return {
    max_input_tokens: context,
    max_model_len: context,
    context_length: context,
    context_window: context,
  };
}
