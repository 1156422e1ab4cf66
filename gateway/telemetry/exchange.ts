// One request from its arrival to the last byte of its answer: what is measured and logged of it.

import { randomUUID } from "node:crypto";
import type { Seen } from "../wire/answer.ts";
import type { Stay } from "../keys/ledger.ts";
import type { RequestTrace } from "./traces.ts";

export interface Exchange {
  readonly id: string;
  readonly path: string;
  /** performance.now() at arrival. */
  readonly startedAt: number;
  /** The name of the key that it came with. */
  principal: string | undefined;
  /** What the key's limits know of it, once it is admitted. */
  stay: Stay | undefined;
  /** Of the request's body, for an estimate where a neuron does not say how long the prompt was. */
  bodyBytes: number;
  /** As the client wrote it: for the log alone, since anyone may write anything. */
  asked: string | undefined;
  /** The concrete id, once it is known to be one of the fleet's. */
  model: string;
  neuron: string;
  stream: boolean;
  /** Neurons that were tried. */
  attempts: number;
  /** The last of them answered well; how its answer went on is to be seen. */
  answered: boolean;
  /** Of the answer: 499 when the client went away before there was one. */
  status: number;
  /** Why it failed: a code of ours or the neuron's own. */
  errorCode: string | undefined;
  clientClosed: boolean;
  /** The client has its answer, or is gone. */
  ended: boolean;
  seen: Seen | undefined;
  /** Where a collector is configured. */
  trace: RequestTrace | undefined;
}

export function openExchange(path: string, clientsId: string | string[] | undefined): Exchange {
  return {
    id: typeof clientsId === "string" && /^[\w.:-]{1,128}$/.test(clientsId) ? clientsId : randomUUID(),
    path,
    startedAt: performance.now(),
    principal: undefined,
    stay: undefined,
    bodyBytes: 0,
    asked: undefined,
    model: "",
    neuron: "",
    stream: false,
    attempts: 0,
    answered: false,
    status: 499,
    errorCode: undefined,
    clientClosed: false,
    ended: false,
    seen: undefined,
    trace: undefined,
  };
}

/** Figures of a finished exchange, in seconds and tokens a second; absent where there is nothing to measure. */
export interface Timing {
  durationS: number;
  /** To the first content, reasoning or tool call of a stream. */
  firstTokenS: number | undefined;
  tokensPerSecond: number | undefined;
}

/** A window shorter than this tells more of the network than of the model. */
const shortestWindowMs = 100;

/** Tokens a second: those after the first, over the time from the first delta to the last; else all over all. */
export function timingOf({ startedAt, seen }: Exchange, endedAt: number): Timing {
  const durationMs = endedAt - startedAt;
  const { firstDeltaAt, lastDeltaAt } = seen ?? {};
  const tokens = seen?.usage?.completionTokens ?? 0;
  const windowMs = firstDeltaAt !== undefined ? (lastDeltaAt ?? firstDeltaAt) - firstDeltaAt : 0;
  const usesWindow = windowMs >= shortestWindowMs && tokens > 1;
  const rate = usesWindow ? (tokens - 1) / (windowMs / 1000) : tokens / (durationMs / 1000);
  return {
    durationS: durationMs / 1000,
    firstTokenS: firstDeltaAt !== undefined ? (firstDeltaAt - startedAt) / 1000 : undefined,
    tokensPerSecond: tokens > 0 && durationMs > 0 ? rate : undefined,
  };
}
