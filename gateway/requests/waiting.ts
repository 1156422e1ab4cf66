// A request whose model no neuron serves at the moment: whether to wait for it, for how long, and what may be said of it
// meanwhile.

import type { Sending } from "./dispatch.ts";
import { GatewayError } from "../errors.ts";
import type { Fleet } from "../fleet/fleet.ts";
import type { Exchange } from "../telemetry/exchange.ts";
import type { Gateway } from "../gateway.ts";
import { refusalOf } from "./refusal.ts";
import type { Decision } from "../fleet/router.ts";
import { route } from "../fleet/router.ts";
import { NeuronRefusal } from "../wire/upstream.ts";

export interface Lack {
  decision: Exclude<Decision, { kind: "send" }>;
  /** Neurons that may not be asked. */
  barred: ReadonlySet<string>;
  /** Why the last neuron that was asked did not answer. */
  failure: NeuronRefusal | GatewayError | undefined;
}

/** A process that is not up by then is no reason to wait any longer. */
const longestStartMs = 60_000;

/**
 * Resolves when the router may be asked again: true, or false when the client is gone. Throws why there is nothing to
 * wait for, or why it was in vain.
 */
export async function bringModel(
  gateway: Gateway,
  exchange: Exchange,
  { model, stop }: Sending,
  { decision, barred, failure }: Lack,
): Promise<boolean> {
  const { residency, fleet, models, options } = gateway;
  const waitedMs = performance.now() - exchange.startedAt;
  const withinMs = options.loading.wait_s * 1000 - waitedMs;
  const startWithinMs = Math.min(longestStartMs - waitedMs, withinMs);
  const mayStart = startWithinMs > 0 && isOpen(fleet, decision);
  const isInVain = failure !== undefined && !mayBeElsewhere(failure);
  if (isInVain || withinMs <= 0 || !(mayStart || residency.canBring(model, decision)))
    throw failure ?? refusalOf(decision, model, { neurons: fleet.neurons, models });
  try {
    if (mayStart) {
      await fleet.until(() => !isOpen(fleet, route(fleet.neurons, model)), stop.signal, startWithinMs);
    } else {
      exchange.model = model; // known to be one of the fleet's
      await residency.loads.bring(model, { signal: stop.signal, withinMs, except: barred });
    }
    return true;
  } catch (error) {
    const { reason } = stop;
    if (!stop.stopped) throw failure ?? error;
    if (reason instanceof GatewayError) throw reason;
    return false;
  }
}

/** True while nobody can say whether the fleet has the model: neurons that have just come have not been heard yet. */
function isOpen({ neurons }: Fleet, { kind }: Decision): boolean {
  return (kind === "no_neuron" || kind === "unknown") && neurons.some(({ state }) => state === "starting");
}

/** True when the neuron has lost the model, though it was there a moment ago. */
export function isLost(failure: NeuronRefusal | GatewayError): boolean {
  return failure instanceof NeuronRefusal && failure.status === 404 && failure.code === "model_not_found";
}

/** A neuron that is out of reach or has lost the model may be replaced; one that is full needs no second one. */
function mayBeElsewhere(failure: NeuronRefusal | GatewayError): boolean {
  return isLost(failure) || failure.code === "upstream_unreachable" || failure.code === "upstream_failed";
}

/** For a stream's comment, which clients skip and people read; empty where nothing is being loaded for it. */
export function progressComment({ residency }: Gateway, { model, answered }: Exchange): string {
  const load = answered ? undefined : residency.loads.progressOf(model);
  if (!load) return "";
  const far = load.percent === undefined ? "" : `, ${load.percent} %`;
  return `: ${load.phase === "loading" ? "loading" : `${load.phase} for`} ${printable(model)}${far}\n\n`;
}

function printable(text: string): string {
  return text.replace(/[\x00-\x1f\x7f-\x9f\u2028\u2029]/g, "?");
}
