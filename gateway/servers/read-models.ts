// What a server of another make tells of itself: the list of its models, and, by answering, that it is there.

import * as v from "valibot";
import type { Report, SeenModel } from "../fleet/fleet.ts";
import type { Reading } from "../fleet/neuron-client.ts";
import { get } from "../fleet/neuron-client.ts";
import type { Server } from "./server.ts";
import { baseOf, keyHeaders } from "./server.ts";

const Count = v.pipe(v.number(), v.integer(), v.minValue(1));
/** What a server need not say, and may say in a way of its own. */
const told = <S extends v.GenericSchema>(schema: S) => v.optional(v.fallback(v.nullish(schema), undefined));
const Length = told(Count);

const Listed = v.looseObject({
  id: v.pipe(v.string(), v.nonEmpty()),
  /** vLLM and SGLang; OpenRouter and others; LM Studio; llama.cpp. */
  max_model_len: Length,
  context_length: Length,
  max_context_length: Length,
  meta: told(v.looseObject({ n_ctx: Length })),
  /** Another gateway of ours. */
  capabilities: told(v.array(v.string())),
  limit: told(v.looseObject({ context: Count, output: Count })),
  tool_call: told(v.boolean()),
  reasoning: told(v.boolean()),
  /** OpenRouter and others. */
  architecture: told(v.looseObject({ input_modalities: told(v.array(v.string())) })),
});
const knownCapabilities = ["text", "vision", "embeddings"];
/** Some answer null for an empty list. */
const List = v.looseObject({ data: v.nullable(v.array(Listed)) });

/** As readNeuron does; nothing is known of its devices and its load. */
export async function readServer(from: Reading, server: Server): Promise<Report> {
  const endpoint = baseOf(from.endpoint);
  const list = await get({ ...from, endpoint, headers: keyHeaders(server) }, "/v1/models", List);
  const ids = new Map([...server.names].map(([id, name]) => [name, id]));
  const models = (list.data ?? []).map((model) => seen(ids.get(model.id) ?? model.id, model));
  const about = { hostname: new URL(endpoint).hostname, os: "", kernel: "", version: "" };
  return {
    discovery: { ...about, devices: [], harnesses: ["openai"] },
    health: { status: "ok", uptime_secs: 0, devices: [], models: [] },
    models,
    urls: new Map(models.map(({ id }) => [id, endpoint])),
  };
}

function seen(id: string, model: v.InferOutput<typeof Listed>): SeenModel {
  const { max_model_len, context_length, max_context_length, meta, limit } = model;
  const context = max_model_len ?? meta?.n_ctx ?? context_length ?? max_context_length;
  const own = context === undefined || context === null ? null : { context, output: context };
  return {
    ...{ id, status: "loaded", devices: [], vram_used_mb: null, capabilities: capabilitiesOf(model) },
    limit: limit ? { context: limit.context, output: limit.output } : own,
    ...{ tool_call: model.tool_call ?? true, reasoning: model.reasoning ?? false },
  };
}

/** Of one that says nothing: text. */
function capabilitiesOf({ capabilities, architecture }: v.InferOutput<typeof Listed>): string[] {
  const known = capabilities?.filter((word) => knownCapabilities.includes(word)) ?? [];
  const sees = architecture?.input_modalities?.includes("image") ?? false;
  return known.length > 0 ? known : ["text", ...(sees ? ["vision"] : [])];
}
