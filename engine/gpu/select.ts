import { EngineError } from "../errors.ts";
import type { AdapterEntry } from "./list.ts";

const aliases: Record<string, string> = { lavapipe: "llvmpipe", lvp: "llvmpipe" };

/** What --adapter means: part of a name or driver, whatever its case; "lavapipe" is llvmpipe's other name. */
function nameMatches({ name, driver = "" }: AdapterEntry, wanted: string): boolean {
  const text = wanted.toLowerCase();
  return `${name}\n${driver}`.toLowerCase().includes(aliases[text] ?? text);
}

/**
 * The index that the options mean in the list: --device, else --adapter, else the first.
 * undefined: no entry is meant. Throws no_adapter where Dawn cannot be brought to open the one that is meant.
 */
export function choose(
  entries: readonly AdapterEntry[],
  { adapter, device }: { adapter?: string | undefined; device?: number | undefined },
): number | undefined {
  const index = device ?? (adapter ? entries.findIndex((e) => nameMatches(e, adapter)) : 0);
  const entry = entries[index];
  if (!entry) return undefined;
  if (adapter && !nameMatches(entry, adapter))
    throw new EngineError("no_adapter", `device ${index} is ${entry.name}, not ${adapter}`);
  // Dawn takes the first adapter whose name contains the text it is given.
  const taken = entries.findIndex((e) => e.name.includes(entry.name));
  if (taken !== index && entry.card === undefined)
    throw new EngineError(
      "no_adapter",
      `device ${index} (${entry.name}) cannot be told from device ${taken} (${entries[taken]!.name}): start neuron ` +
        "where it sees only that one, in a container with NVIDIA_VISIBLE_DEVICES=…, or install Mesa's Vulkan drivers, " +
        "whose device-selection layer tells cards of one name apart by their places on the bus",
    );
  return index;
}

/** " 0 NVIDIA H200 | 1 llvmpipe …", for the messages. */
export function listed(entries: readonly AdapterEntry[]): string {
  return entries.length === 0 ? "none" : entries.map((e, i) => `${i} ${e.name}`).join(" | ");
}
