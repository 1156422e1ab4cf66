// Why a model could not be loaded, in words that may go to a client: the neuron's own, which may hold paths and
// addresses, go to the log and the operator. Left in the store for a moment, so that every gateway tells it to those who
// wait, and nobody tries again at once.

import * as v from "valibot";
import { GatewayError, type GatewayErrorCode } from "../errors.ts";
import type { Log } from "../telemetry/log.ts";
import { ControlError } from "../fleet/neuron-control.ts";

/** How long a failed load is not tried again for a request. */
export const cooldownMs = 5000;

/** By the neuron's code; the others are taken for temporary. */
const lasting: Record<string, string> = {
  out_of_memory: "it does not fit the memory of the device",
  bad_checkpoint: "its files are damaged or incomplete",
  unsupported_model: "its architecture is not supported",
  unsupported_parameter: "the neuron does not support a setting of it",
  bad_request: "the neuron refused a setting of it",
  bad_config: "the neuron's configuration forbids it",
  model_not_found: "its files were not found",
  disk_full: "the neuron's disk is full",
};
const passing: Record<string, string> = {
  download_failed: "its files could not be downloaded",
  device_lost: "the device was lost",
  load_stalled: "it came no further, and was given up",
  unreachable: "the neuron could not be reached",
  timeout: "it took too long",
  cancelled: "it was cancelled",
  lost: "it was gone again at once",
  no_room: "what is loaded there is pinned or of a higher priority",
};

/** What those who wait are told. Our own errors and unknown ones are logged here, for nobody else does. */
export function failureFor(model: string, error: unknown, log: Log): GatewayError {
  if (error instanceof GatewayError) return error;
  const cause = { cause: error };
  if (error instanceof ControlError) {
    const why = lasting[error.code];
    if (why) return new GatewayError("model_load_failed", words(model, why), null, cause);
    const passingWhy = passing[error.code] ?? "the neuron failed";
    const code = error.code === "no_room" ? "no_room" : "model_unavailable";
    return new GatewayError(code, words(model, passingWhy), null, cause);
  }
  log.warn("load failed", { model, reason: error instanceof Error ? error.message : String(error) });
  return new GatewayError("model_unavailable", words(model, "the neuron failed"), null, cause);
}

function words(model: string, why: string): string {
  return `The model '${model}' could not be loaded: ${why}.`;
}

const Note = v.object({ code: v.string(), message: v.string() });

/** What is left in the lease's place after a neuron's failure; of other failures each gateway finds out by itself. */
export function noteOf(
  model: string,
  failure: unknown,
  log: Log,
): { value: string; ttlMs: number } | undefined {
  if (!(failure instanceof ControlError)) return undefined;
  const { code, message } = failureFor(model, failure, log);
  return { value: JSON.stringify({ code, message }), ttlMs: cooldownMs };
}

/** The failure that a lease's last holder has left; undefined when somebody holds it or nobody. */
export function failureIn(value: string | undefined): GatewayError | undefined {
  const note = v.safeParse(v.pipe(v.string(), v.parseJson(), Note), value);
  return note.success
    ? new GatewayError(note.output.code as GatewayErrorCode, note.output.message)
    : undefined;
}
