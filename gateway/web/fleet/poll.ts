// The fleet as this page sees it: asked every few seconds while somebody looks.

import { signal } from "@preact/signals";
import { ask } from "../ask.ts";
import type { FleetReport, ListedModel } from "../../fleet/protocol.ts";
import type { Conversation } from "../keep/conversation.ts";
import type { Sample } from "./history.ts";
import { remember, sampleOf } from "./history.ts";

/** Undefined until the first answer. */
export const fleet = signal<FleetReport | undefined>(undefined);
/** False after a reading that failed. */
export const reachable = signal(true);
export const samples = signal<readonly Sample[]>([]);

/** Milliseconds between readings. */
const rhythm = { watched: 2000, changing: 1500, calm: 5000 };

/** Reads for as long as the page lives; `watched` tells whether the fleet itself is looked at. */
export function watchFleet(watched: () => boolean): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const next = async () => {
    clearTimeout(timer);
    if (!document.hidden) await read();
    clearTimeout(timer);
    timer = setTimeout(next, watched() ? rhythm.watched : isChanging() ? rhythm.changing : rhythm.calm);
  };
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) void next();
  });
  void next();
  return () => void next();
}

export function modelCalled(id: string | undefined): ListedModel | undefined {
  return fleet.value?.models.find((model) => model.id === id);
}

/**
 * The model that a conversation talks to. One that has begun keeps its own, even if it is gone; a new one takes the
 * model that was used last, if that is there, else one that answers.
 */
export function modelFor({ settings, nodes }: Conversation): string | undefined {
  const begun = Object.keys(nodes).length > 0;
  if (settings.model !== undefined && (begun || modelCalled(settings.model))) return settings.model;
  const models = fleet.value?.models ?? [];
  return (models.find(({ loaded, alias_of }) => loaded && alias_of === undefined) ?? models[0])?.id;
}

/** Reads the fleet now. */
export async function read(): Promise<void> {
  try {
    const response = await ask("/api/fleet", { signal: AbortSignal.timeout(10_000) });
    if (!response.ok) throw new Error(`status ${response.status}`);
    const report = (await response.json()) as FleetReport;
    fleet.value = report;
    samples.value = remember(samples.value, sampleOf(report, Date.now()));
    reachable.value = true;
  } catch {
    reachable.value = false;
  }
}

/** Something is about to be there, or the gateway itself is not: worth a closer look. */
function isChanging(): boolean {
  const models = fleet.value?.models ?? [];
  return (
    !reachable.value ||
    !models.some(({ loaded }) => loaded) ||
    models.some(({ locations }) => locations.some(({ status }) => status === "loading"))
  );
}
