// How the gateway reads a neuron: four status routes, each with a time limit, checked against the protocol.

import type { Dispatcher } from "undici";
import * as v from "valibot";
import { Discovery, Endpoint, Health, Loading, ModelEntry, ModelHealth } from "../../neuron/protocol.ts";
import type { Report } from "./fleet.ts";

// A newer neuron may know statuses and phases that we do not; that is no reason to lose sight of it.
const Progress = v.looseObject({
  phase: v.string(),
  bytes: Loading.entries.bytes,
  total_bytes: Loading.entries.total_bytes,
});
const SeenModels = v.array(
  v.looseObject({ ...ModelEntry.entries, status: v.string(), loading: v.optional(Progress) }),
);
const SeenHealth = v.looseObject({
  status: v.string(),
  uptime_secs: Health.entries.uptime_secs,
  devices: Health.entries.devices,
  models: v.array(
    v.looseObject({
      id: ModelHealth.entries.id,
      in_flight: ModelHealth.entries.in_flight,
      queue_depth: ModelHealth.entries.queue_depth,
      tok_s_prefill: ModelHealth.entries.tok_s_prefill,
      tok_s_decode: ModelHealth.entries.tok_s_decode,
      idle_secs: v.exactOptional(v.number()),
      memory: v.exactOptional(v.looseObject({ total_bytes: v.number() })),
    }),
  ),
});

export interface Reading {
  dispatcher: Dispatcher;
  endpoint: string;
  /** Per call. */
  timeoutMs: number;
  signal: AbortSignal;
  headers?: Record<string, string>;
  /** What an earlier reading told and need not be asked again. */
  discovery: Discovery | undefined;
  urls: ReadonlyMap<string, string>;
}

/** Everything the fleet wants to know of one neuron; throws an Error that says which call failed and how. */
export async function readNeuron(from: Reading): Promise<Report> {
  const [discovery, health, models] = await Promise.all([
    from.discovery ?? get(from, "/discovery", Discovery),
    get(from, "/health", SeenHealth),
    get(from, "/models", SeenModels),
  ]);
  const loaded = models.filter((model) => model.status === "loaded").map((model) => model.id);
  const urls = await Promise.all(loaded.map(async (id) => [id, await modelUrl(from, id)] as const));
  return { discovery, health, models, urls: new Map(urls.filter(isTold)) };
}

/** A neuron that calls itself localhost means its own host: that becomes the host under which we know it. */
export function reachableUrl(advertised: string, endpoint: string): string {
  const url = new URL(advertised);
  if (isLoopback(url.hostname)) url.hostname = new URL(endpoint).hostname;
  return url.href.replace(/\/+$/, "");
}

async function modelUrl(from: Reading, id: string): Promise<string | undefined> {
  const known = from.urls.get(id);
  if (known !== undefined) return known;
  const answer = await get(from, `/models/${encodeURIComponent(id)}/endpoint`, Endpoint, 404);
  return answer && reachableUrl(answer.url, from.endpoint);
}

function isTold(entry: readonly [string, string | undefined]): entry is [string, string] {
  return entry[1] !== undefined;
}

function isLoopback(hostname: string): boolean {
  return /^(localhost|127(\.\d+){3}|0\.0\.0\.0|\[::1?\])$/.test(hostname);
}

/** The answer of GET `path`; with `absent`, undefined for an answer of that status. */
export function get<S extends v.GenericSchema>(
  from: Reading,
  path: string,
  schema: S,
): Promise<v.InferOutput<S>>;
export function get<S extends v.GenericSchema>(
  from: Reading,
  path: string,
  schema: S,
  absent: number,
): Promise<v.InferOutput<S> | undefined>;
export async function get(
  from: Reading,
  path: string,
  schema: v.GenericSchema,
  absent?: number,
): Promise<unknown> {
  const base = new URL(from.endpoint);
  const timeout = AbortSignal.timeout(from.timeoutMs);
  try {
    const { statusCode, body } = await from.dispatcher.request({
      origin: base.origin,
      path: `${base.pathname.replace(/\/+$/, "")}${path}`,
      method: "GET",
      headers: from.headers ?? {},
      signal: AbortSignal.any([from.signal, timeout]),
    });
    if (statusCode !== 200) await body.dump();
    if (statusCode === absent) return undefined;
    if (statusCode !== 200) throw new Error(`status ${statusCode}`);
    return checked(schema, await body.json());
  } catch (error) {
    const why = timeout.aborted ? `no answer within ${from.timeoutMs} ms` : faultOf(error);
    throw new Error(`${path}: ${why}`, { cause: error });
  }
}

function checked(schema: v.GenericSchema, value: unknown): unknown {
  const result = v.safeParse(schema, value);
  if (result.success) return result.output;
  const issue = result.issues[0];
  throw new Error(`${v.getDotPath(issue) ?? "answer"}: ${issue.message}`);
}

/** The error's code rather than its words, which name addresses; our own errors have no code. */
export function faultOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { code } = error as NodeJS.ErrnoException;
  if (error instanceof SyntaxError) return "not JSON";
  return typeof code === "string" ? code : error.message || error.name;
}
