// Where `neuron chat` finds its model: at the address it was told, at a daemon that runs here, or in one of its own.

import { EngineError } from "../../engine/errors.ts";
import { baseOf, call } from "../../kit/client.ts";
import type { Client } from "../../kit/client.ts";
import { defaultPort } from "../protocol.ts";

export interface Place {
  client: Client;
  model: string;
  close(): Promise<void>;
}

export interface Wish {
  /** Undefined: look here, then start one. */
  endpoint: string | undefined;
  key: string | undefined;
  model: string | undefined;
}

/** A daemon of our own with that model. */
export type StartOwn = (model: string) => Promise<{ url: string; model: string; close: () => Promise<void> }>;

/** The gateway's address first: it knows more models. */
const hereabouts = ["http://127.0.0.1:31313", `http://127.0.0.1:${defaultPort}`];
const probeMs = 1000;

export async function findPlace(wish: Wish, startOwn: StartOwn, near = hereabouts): Promise<Place> {
  const close = async () => {};
  if (wish.endpoint !== undefined) {
    const client = { endpoint: wish.endpoint, key: wish.key };
    return { client, model: wish.model ?? (await onlyModel(client)), close };
  }
  for (const endpoint of near) {
    const client = { endpoint, key: wish.key };
    const listed = await modelsOf(client, probeMs).catch(() => []);
    const model = wish.model === undefined ? listed.find(isReady) : listed.find((m) => m.id === wish.model);
    if (model) return { client, model: model.id, close };
  }
  const own = await startOwn(wish.model ?? "demo");
  return { client: { endpoint: own.url }, model: own.model, close: own.close };
}

export interface Listed {
  id: string;
  /** A gateway lists models that would have to be loaded first; a neuron's are there. */
  loaded?: boolean;
}

export async function modelsOf(client: Client, timeoutMs = 10_000): Promise<Listed[]> {
  const answer = await call(client, "/v1/models", { signal: AbortSignal.timeout(timeoutMs) });
  return (answer as { data?: Listed[] }).data ?? [];
}

function isReady({ loaded }: Listed): boolean {
  return loaded !== false;
}

async function onlyModel(client: Client): Promise<string> {
  const listed = await modelsOf(client);
  const model = listed.find(isReady) ?? listed[0];
  if (!model) throw new EngineError("model_not_found", `${baseOf(client)} has no model loaded; name one`);
  return model.id;
}
