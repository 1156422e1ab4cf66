// What an operator, or the page, does with the models of the fleet: load, unload, pin; and a device opened anew.

import type { FastifyInstance, FastifyReply } from "fastify";
import * as v from "valibot";
import { readJson } from "../requests/ask.ts";
import { concreteId } from "../fleet/catalogue.ts";
import { check } from "../dialects/check.ts";
import { GatewayError } from "../errors.ts";
import type { Gateway } from "../gateway.ts";
import { settled } from "../requests/generate.ts";
import { serves } from "../fleet/router.ts";

const Name = v.pipe(v.string(), v.nonEmpty(), v.maxLength(500));

export const LoadBody = v.strictObject({
  model: Name,
  /** Without it: where it fits best. */
  neuron: v.nullish(Name),
  /** False: answer at once, and not when it is loaded. */
  wait: v.nullish(v.boolean()),
});
export const LoadAnswer = v.object({
  status: v.picklist(["loaded", "loading"]),
  model: v.string(),
  /** Where it takes requests. */
  neurons: v.array(v.string()),
});

export const UnloadBody = v.strictObject({
  model: Name,
  /** Without it: from all that have it. */
  neuron: v.nullish(Name),
  /** Ends its requests, or its load, instead of refusing. */
  force: v.nullish(v.boolean()),
});
export const UnloadAnswer = v.object({
  status: v.literal("unloaded"),
  model: v.string(),
  neurons: v.array(v.string()),
});

export const PinBody = v.strictObject({ model: Name, neuron: Name, pinned: v.boolean() });
export const RestartAnswer = v.object({ status: v.literal("restarted"), name: v.string() });

/** Who does not wait still hears of what is refused at once. */
const promptMs = 250;

const admin = { config: { access: "admin" as const } };

export async function fleetRoutes(app: FastifyInstance, { gateway }: { gateway: Gateway }): Promise<void> {
  const { residency, models } = gateway;

  app.post("/api/models/load", admin, async (request, reply) => {
    const { model: asked, neuron, wait } = check(LoadBody, readJson(request.body));
    const model = concreteId(models, asked);
    if (neuron) mustBe(gateway, neuron);
    const signal = wait === false ? new AbortController().signal : untilHangUp(reply);
    const load = residency.load(model, neuron ?? undefined, signal);
    if (wait === false && !(await settled(load, promptMs))) {
      load.catch(() => undefined); // what comes of it is in the log, and on the page
      reply.code(202);
      return { status: "loading", model, neurons: whereServed(gateway, model) };
    }
    await load;
    return { status: "loaded", model, neurons: whereServed(gateway, model) };
  });

  app.post("/api/models/unload", admin, async (request, reply) => {
    const { model: asked, neuron, force } = check(UnloadBody, readJson(request.body));
    const model = concreteId(models, asked);
    const neurons = neuron ? [mustBe(gateway, neuron)] : whereSeen(gateway, model);
    if (neurons.length === 0)
      throw new GatewayError("model_not_found", `The model '${model}' is on no neuron.`, "model");
    const signal = untilHangUp(reply);
    for (const name of neurons) await residency.unload(model, name, force ?? false, signal);
    return { status: "unloaded", model, neurons };
  });

  app.post("/api/models/pin", admin, async (request) => {
    const { model: asked, neuron, pinned } = check(PinBody, readJson(request.body));
    const model = concreteId(models, asked);
    mustBe(gateway, neuron);
    await residency.stays.pin(neuron, model, pinned);
    return { model, neuron, pinned: residency.stays.isPinned(neuron, model) };
  });

  app.post<{ Params: { name: string } }>("/api/neurons/:name/restart", admin, async ({ params }, reply) => {
    const name = mustBe(gateway, params.name);
    await residency.restart(name, untilHangUp(reply));
    return { status: "restarted", name };
  });
}

/** The name of a neuron that loads models; throws not_found or invalid_request_body. */
function mustBe({ fleet }: Gateway, name: string): string {
  if (!fleet.has(name))
    throw new GatewayError("not_found", `No neuron is called '${name.slice(0, 200)}'.`, "neuron");
  if (fleet.neuron(name).kind === "neuron") return name;
  throw new GatewayError("invalid_request_body", `'${name}' is a server that loads by itself.`, "neuron");
}

function whereServed({ fleet }: Gateway, model: string): string[] {
  return fleet.neurons.filter((neuron) => serves(neuron, model)).map(({ name }) => name);
}

function whereSeen({ fleet }: Gateway, model: string): string[] {
  return fleet.neurons
    .filter(({ kind, state }) => kind === "neuron" && state === "healthy")
    .filter(({ models }) => models.some(({ id }) => id === model))
    .map(({ name }) => name);
}

function untilHangUp({ raw }: FastifyReply): AbortSignal {
  const gone = new AbortController();
  raw.once("close", () => gone.abort(new GatewayError("shutting_down", "The client hung up.")));
  return gone.signal;
}
