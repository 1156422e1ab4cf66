// Who asks: the caller of a request by the key that it brings, as a bearer token or as x-api-key. Every route needs a key
// when keys are required, but for those that say otherwise of themselves (`config: { access: … }`).

import type { IncomingHttpHeaders } from "node:http";
import type { FastifyInstance, FastifyRequest } from "fastify";
import type { CortexConfig } from "../config.ts";
import { GatewayError } from "../errors.ts";
import type { Key, KeyRing } from "./keys.ts";

declare module "fastify" {
  interface FastifyContextConfig {
    /** "open": for everybody; "admin": for admins' keys, where keys are asked for at all. */
    access?: "open" | "admin";
  }
  interface FastifyRequest {
    /** Whose key the request came with; null where none is needed. */
    caller: Key | null;
  }
}

export type AuthMode = CortexConfig["auth"]["mode"];

export interface Door {
  mode: AuthMode;
  /** As they are now. */
  keys: () => KeyRing;
}

/** Put in front of every route that is registered after it, behind the hooks of the route's own plugin. */
export function guardRoutes(app: FastifyInstance, door: Door): void {
  app.decorateRequest("caller", null);
  app.addHook("onRoute", (route) => {
    const { access } = route.config ?? {};
    if (access === "open") return;
    const guard = async (request: FastifyRequest) => {
      request.caller = callerOf(door, request.headers);
      if (request.exchange) request.exchange.principal = request.caller?.name;
      if (access === "admin") checkAdmin(door, request);
    };
    route.onRequest = [...[route.onRequest ?? []].flat(), guard];
  });
}

/** Throws invalid_api_key. Null where no key is needed and no valid one came. */
export function callerOf({ mode, keys }: Door, headers: IncomingHttpHeaders): Key | null {
  if (mode === "off") return null;
  const texts = presented(headers);
  const ring = keys();
  const found = texts.map((text) => ring.find(text)).find((key) => key !== undefined);
  if (found || mode === "optional") return found ?? null;
  const message =
    texts.length > 0
      ? "The API key is not valid."
      : "An API key is needed: send it as 'Authorization: Bearer …' or as 'x-api-key'.";
  throw new GatewayError("invalid_api_key", message);
}

/** Of a route that is open to all: whether an admin asks, or nobody is asked for a key. */
export function isAdmin({ mode, keys }: Door, headers: IncomingHttpHeaders): boolean {
  return mode === "off" || presented(headers).some((text) => keys().find(text)?.admin);
}

/** What an admin's request may do is no page's of another site to ask for, whose browser would send it along. */
function checkAdmin({ mode }: Door, { caller, headers }: FastifyRequest): void {
  if (mode !== "off" && !caller?.admin)
    throw new GatewayError("permission_denied", "This needs an admin's API key.");
  if (isCrossSite(headers))
    throw new GatewayError("permission_denied", "This is not for pages of other sites to ask.");
}

function isCrossSite(headers: IncomingHttpHeaders): boolean {
  const site = headers["sec-fetch-site"];
  if (site !== undefined) return site !== "same-origin" && site !== "none";
  const { origin, host } = headers;
  return origin !== undefined && origin.replace(/^https?:\/\//, "") !== host;
}

/** Anthropic's clients may send both, one of them a stale one. */
function presented(headers: IncomingHttpHeaders): string[] {
  const bearer = /^bearer\s+(\S+)\s*$/i.exec(headers.authorization ?? "")?.[1];
  const named = [headers["x-api-key"]].flat()[0]?.trim();
  return [bearer, named].filter((text) => text !== undefined && text !== "") as string[];
}

/** Throws permission_denied when a key may not use a model; both are concrete ids. */
export function checkModel(key: Key, model: string, concrete: (name: string) => string): void {
  if (mayUse(key, model, concrete)) return;
  const name = model.length > 200 ? `${model.slice(0, 200)}…` : model;
  throw new GatewayError("permission_denied", `This API key may not use the model '${name}'.`, "model");
}

export function mayUse({ models }: Key, model: string, concrete: (name: string) => string): boolean {
  return models === undefined || models.some((name) => concrete(name) === model);
}
