// What the gateway tells a neuron to do: load a model, unload one, start its device anew.

import type { Dispatcher } from "undici";
import * as v from "valibot";
import type { LoadRequest, RestartRequest, UnloadRequest } from "../../neuron/protocol.ts";
import { ErrorEnvelope, LoadResponse, RestartResponse, UnloadResponse } from "../../neuron/protocol.ts";
import { faultOf } from "./neuron-client.ts";

/** Why a neuron did not do it. The message is the neuron's own: for the log and the operator, never for a client. */
export class ControlError extends Error {
  /** The neuron's, or "unreachable", "timeout", "invalid_answer", "lost". */
  readonly code: string;
  /** Of a model that does not fit: what it lacks, in MiB; 0 where the neuron does not say. */
  readonly lacksMb: number;

  constructor(code: string, message: string, options: ErrorOptions & { lacksMb?: number } = {}) {
    super(message, options);
    this.code = code;
    this.lacksMb = options.lacksMb ?? 0;
  }
}

export interface Control {
  dispatcher: Dispatcher;
  endpoint: string;
  /** For the whole of it. */
  timeoutMs: number;
  signal: AbortSignal;
}

/** Resolves when the model is loaded. Throws ControlError, or the signal's reason. */
export async function loadModel(control: Control, request: LoadRequest): Promise<void> {
  await post(control, "/models/load", request, LoadResponse);
}

/** Throws ControlError: model_busy while requests run, unless `force` ends them; model_not_found. */
export async function unloadModel(control: Control, request: UnloadRequest): Promise<void> {
  await post(control, "/models/unload", request, UnloadResponse);
}

/** Resolves when the device is back, with the models that lay on it. */
export async function restartDevice(control: Control, request: RestartRequest): Promise<void> {
  await post(control, "/restart", request, RestartResponse);
}

async function post(control: Control, path: string, body: object, schema: v.GenericSchema): Promise<void> {
  const base = new URL(control.endpoint);
  const timeout = AbortSignal.timeout(control.timeoutMs);
  let statusCode: number;
  let answer: unknown;
  try {
    const response = await control.dispatcher.request({
      ...{ origin: base.origin, path: base.pathname.replace(/\/+$/, "") + path, method: "POST" as const },
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
      signal: AbortSignal.any([control.signal, timeout]),
    });
    statusCode = response.statusCode;
    answer = await response.body.json();
  } catch (error) {
    if (control.signal.aborted) throw control.signal.reason;
    if (timeout.aborted) throw new ControlError("timeout", `not done within ${control.timeoutMs / 1000} s`);
    const code = error instanceof SyntaxError ? "invalid_answer" : "unreachable";
    throw new ControlError(code, faultOf(error), { cause: error });
  }
  if (statusCode === 200 && v.is(schema, answer)) return;
  const refused = v.safeParse(ErrorEnvelope, answer);
  if (statusCode === 200 || !refused.success)
    throw new ControlError("invalid_answer", `${path} answered ${statusCode} outside the protocol`);
  const { code, message, needed_bytes, available_bytes } = refused.output.error;
  const lacksMb = Math.ceil((Number(needed_bytes) - Number(available_bytes)) / 2 ** 20) || 0;
  throw new ControlError(code ?? "invalid_answer", message, { lacksMb });
}
