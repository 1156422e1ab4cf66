// The fleet's models in Anthropic's shape, for clients that speak it.

import type { ModelItem } from "../fleet/catalogue.ts";
import { invalid } from "./check.ts";

interface Page {
  limit?: unknown;
  after_id?: unknown;
  before_id?: unknown;
}

/** One page of the list; `createdAt` is in RFC 3339. Throws invalid_request_body for a limit outside 1 to 1000. */
export function anthropicModels(items: readonly ModelItem[], createdAt: string, query: Page): object {
  const limit = query.limit === undefined ? 20 : Number(query.limit);
  if (!Number.isInteger(limit) || limit < 1 || limit > 1000) throw invalid("limit", "expected 1 to 1000");
  const at = (id: unknown) => items.findIndex((item) => item.id === id);
  const backwards = query.before_id !== undefined && at(query.before_id) >= 0;
  const end = backwards ? at(query.before_id) : items.length;
  const start = backwards ? Math.max(0, end - limit) : at(query.after_id) + 1;
  const page = items.slice(start, backwards ? end : start + limit);
  return {
    data: page.map((item) => anthropicModel(item, createdAt)),
    has_more: backwards ? start > 0 : start + page.length < items.length,
    first_id: page[0]?.id ?? null,
    last_id: page.at(-1)?.id ?? null,
  };
}

export function anthropicModel(item: ModelItem, createdAt: string): object {
  const { id, capabilities, reasoning } = item;
  const able = (supported: boolean) => ({ supported });
  return {
    ...{ type: "model", id, display_name: id, created_at: createdAt },
    ...{ max_input_tokens: item.max_input_tokens ?? null, max_tokens: item.max_output_tokens ?? null },
    ...{ lifecycle: "active", line: null, deprecated_at: null, retires_at: null },
    capabilities: {
      ...{ batch: able(false), citations: able(false), code_execution: able(false), pdf_input: able(false) },
      context_management: {
        ...able(false),
        ...{ clear_thinking_20251015: null, clear_tool_uses_20250919: null, compact_20260112: null },
      },
      effort: {
        ...able(reasoning),
        ...{ low: able(reasoning), medium: able(reasoning), high: able(reasoning) },
        ...{ max: able(false), xhigh: able(false) },
      },
      image_input: able(capabilities.includes("vision")),
      server_tools: { ...able(false), code_execution: able(false), web_search: able(false) },
      structured_outputs: able(capabilities.includes("text")),
      thinking: {
        ...able(reasoning),
        types: {
          ...{ adaptive: able(reasoning), enabled: able(reasoning) },
          ...{ between_tools: able(reasoning), disabled: able(true) },
        },
      },
    },
  };
}
