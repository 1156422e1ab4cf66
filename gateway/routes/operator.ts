// What an operator asks of a running gateway: take a neuron out of service, and who used how much.

import type { FastifyInstance, FastifyRequest } from "fastify";
import { GatewayError } from "../errors.ts";
import type { ModelView } from "../fleet/fleet.ts";
import type { Gateway } from "../gateway.ts";
import type { Key } from "../keys/keys.ts";
import { anonymous } from "../keys/keys.ts";
import { keptDays } from "../keys/usage.ts";
import type { Used } from "../keys/usage.ts";

/** An element of GET /api/usage. */
export interface KeyUsage {
  name: string;
  id: string;
  /** By day (UTC), the latest first. */
  days: Record<string, Used>;
}

const admin = { config: { access: "admin" as const } };

interface ByName {
  Params: { name: string };
}

export async function operatorRoutes(app: FastifyInstance, { gateway }: { gateway: Gateway }): Promise<void> {
  for (const [method, drained] of [
    ["POST", true],
    ["DELETE", false],
  ] as const)
    app.route<ByName>({
      ...{ method, url: "/api/neurons/:name/drain", ...admin },
      handler: async ({ params: { name } }) => drain(gateway, name, drained),
    });

  app.get<{ Querystring: Record<string, unknown> }>("/api/usage", async (request, reply) => {
    reply.header("cache-control", "no-store");
    return { keys: await usageFor(gateway, request, daysOf(request.query.days)) };
  });
}

async function drain({ fleet, drains }: Gateway, name: string, drained: boolean) {
  if (!fleet.has(name))
    throw new GatewayError("not_found", `No neuron is called '${name.slice(0, 200)}'.`, "name");
  await drains.set(name, drained);
  const running = fleet.neuron(name).models.reduce((sum, model) => sum + runningOf(model), 0);
  return { name, draining: drained, running };
}

/** What this gateway knows of for certain, or what the neuron counts in all. */
function runningOf({ use, inFlight, queueDepth, ahead }: ModelView): number {
  return Math.max(use.running, inFlight + queueDepth + ahead);
}

/** An admin sees everybody, others see themselves. */
async function usageFor(
  { door, usage }: Gateway,
  { caller }: FastifyRequest,
  days: number,
): Promise<KeyUsage[]> {
  if (door.mode === "off") return [];
  const all = (): Pick<Key, "id" | "name">[] => [...door.keys().all, { id: anonymous, name: anonymous }];
  if (caller === null) throw new GatewayError("permission_denied", "This needs an API key.");
  const shown = caller.admin ? all() : [caller];
  return Promise.all(shown.map(async ({ id, name }) => ({ name, id, days: await usage.of(id, days) })));
}

function daysOf(text: unknown): number {
  const days = text === undefined ? 1 : Number(text);
  if (Number.isInteger(days) && days >= 1 && days <= keptDays) return days;
  throw new GatewayError("invalid_request_body", `days: expected 1 to ${keptDays}`, "days");
}
