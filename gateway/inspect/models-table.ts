// Models as tables for people: `cortex models`, and the second table of `cortex status`.

import { table } from "../../kit/table.ts";
import type { ModelItem } from "../fleet/catalogue.ts";

export function modelsTable(models: readonly ModelItem[]): string[] {
  return table(["MODEL", "STATUS", "WHERE", "CONTEXT", "CAPABILITIES"], models.map(modelRow));
}

function modelRow(item: ModelItem): string[] {
  const where = item.locations.map(({ neuron, status, percent }) =>
    status === "loaded" ? neuron : `${neuron} (${status}${percent === undefined ? "" : ` ${percent} %`})`,
  );
  return [
    item.id,
    item.alias_of !== undefined ? `alias of ${item.alias_of}` : item.loaded ? "loaded" : "not loaded",
    where.join(", "),
    item.limit ? String(item.limit.context) : "",
    item.capabilities.join(", "),
  ];
}
