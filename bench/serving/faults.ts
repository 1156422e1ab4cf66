// What fails while a neuron is under load: at random places, each in a life of its own of the device's thread, and a load
// that finds no memory. Five losses, for at the sixth within ten minutes a neuron gives its device up.
import { setTimeout as sleep } from "node:timers/promises";
import type { Pool } from "undici";
import { ask, type Answer } from "./ask.ts";
import type { Request } from "./requests.ts";

/** A hang is found out soon, and stays one on a busy machine. */
export const limitsWithFaults = { NEURON_STEP_LIMIT_S: "20" };

/** Steps of a life before something fails. */
const [leastSteps, moreSteps] = [80, 320];
const kinds = ["lost@decode", "lost@prefill", "crash@decode", "hang@decode", "hang@prefill"];
/** How often a request is asked again. */
const mostTimes = 60;

/** As NEURON_FAULTS has it: each kind once, in any order; the last life but one finds no memory to read its model again. */
export function faultsAtRandom(): string {
  const order = kinds.toSorted(() => Math.random() - 0.5);
  const at = (kind: string) => {
    const steps = leastSteps + Math.floor(Math.random() * moreSteps);
    return kind.endsWith("prefill") ? Math.ceil(steps / 5) : steps; // there are fewer of those
  };
  const each = order.map((kind, i) => `${kind}:${at(kind)}#${i + 1}`);
  return [...each, `memory@load#${kinds.length - 1}`].join(" ");
}

/** Asks until the answer is whole or of another outcome than "come back", as Retry-After says. */
export async function askAgain(
  pool: Pool,
  request: Request,
  leaveAfter = Infinity,
): Promise<{ answer: Answer; times: number }> {
  for (let times = 1; ; times += 1) {
    const answer = await ask(pool, request, leaveAfter);
    const again = answer.outcome === "refused" || answer.outcome === "broken";
    if (!again || times === mostTimes) return { answer, times };
    await sleep(1000 * (answer.retryAfter ?? 1));
  }
}

/** What became of a device. */
export interface Kept {
  losses: number;
  /** Loads that were asked for because the model was out of service. */
  loads: number;
}

/** Loads the model again whenever it is out of service, as an operator (or a gateway) would. */
export function keepLoaded(url: string): { end(): Promise<Kept> } {
  const ended = new AbortController();
  const kept: Kept = { losses: 0, loads: 0 };
  const watching = (async () => {
    while (!ended.signal.aborted) {
      const { devices, models } = (await (await fetch(`${url}/health`)).json()) as {
        devices: { losses: number }[];
        models: { id: string; status: string }[];
      };
      kept.losses = devices[0]!.losses;
      for (const { id } of models.filter(({ status }) => status === "failed")) {
        kept.loads += 1;
        const body = JSON.stringify({ model_id: id });
        const headers = { "content-type": "application/json" };
        await (await fetch(`${url}/models/load`, { method: "POST", headers, body })).text();
      }
      await sleep(500);
    }
    return kept;
  })();
  return {
    end() {
      ended.abort();
      return watching;
    },
  };
}
