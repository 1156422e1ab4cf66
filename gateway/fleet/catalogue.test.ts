import { expect, test } from "vitest";
import { chat, errorOf, openGateway, openNeuron, post } from "../fixtures/gateway.fixture.ts";
import { openKeeper } from "../fixtures/lifecycle.fixture.ts";

async function fleet(loading: Record<string, unknown> = {}) {
  const [a, b] = [await openNeuron("zeta", "org/name:tag"), await openNeuron("zeta")];
  b.models.set("zeta", {
    status: "loaded",
    capabilities: ["vision", "text"],
    limit: { context: 2048, output: 4096 },
    reasoning: true,
  });
  const progress = { phase: "reading" as const, bytes: 300, total_bytes: 700, tensors: 1, total_tensors: 2 };
  b.models.set("big", { status: "loading", loading: progress });
  const models = {
    models: [{ id: "absent", source: "org/absent" }, { id: "zeta" }],
    aliases: { small: "zeta", "org/name:tag": "zeta", dead: "nobody" },
  };
  return { a, b, gateway: await openGateway({ neurons: { b, a }, models, cortex: { loading } }) };
}

test("/v1/models is one sorted list of the fleet, the catalogue and the aliases", async () => {
  const { gateway } = await fleet();
  const { object, data } = (await (await fetch(`${gateway.url}/v1/models`)).json()) as {
    object: string;
    data: Record<string, unknown>[];
  };
  expect(object).toBe("list");
  expect(data.map(({ id }) => id)).toEqual(["absent", "big", "org/name:tag", "small", "zeta"]);
  const created = data[0]!.created as number;
  expect(Math.abs(created - Date.now() / 1000)).toBeLessThan(60);
  const zeta = {
    ...{ object: "model", created, owned_by: "cortex", loaded: true, tool_call: true, reasoning: true },
    locations: [
      { neuron: "a", status: "loaded" },
      { neuron: "b", status: "loaded" },
    ],
    feasible_on: ["a", "b"],
    capabilities: ["text", "vision"],
    modalities: { input: ["text", "image"], output: ["text"] },
    limit: { context: 2048, output: 1024 },
    ...{ max_model_len: 2048, context_length: 2048, context_window: 2048 },
    ...{ max_input_tokens: 2048, max_output_tokens: 1024 },
  };
  expect(data[4]).toEqual({ ...zeta, id: "zeta", aliases: ["org/name:tag", "small"] });
  expect(data[3]).toEqual({ ...zeta, id: "small", aliases: [], alias_of: "zeta" });
  expect(data[1]).toMatchObject({
    loaded: false,
    locations: [{ neuron: "b", status: "loading", percent: 42 }],
  });
  expect(data[0]).toMatchObject({ loaded: false, locations: [], source: "org/absent" });
});

test("a model that is not loaded has the limits that it had, or else its configured context; and its cost", async () => {
  const a = await openKeeper(100, {}, "was");
  const cost = { input: 0.1, output: 0.4 };
  const models = { models: [{ id: "was" }, { id: "never", context_length: 512, cost }, { id: "unknown" }] };
  const gateway = await openGateway({ neurons: { a: a.neuron }, models });
  await post(gateway, { model: "was" }, { path: "/api/models/unload" });
  const told = async (id: string) => (await fetch(`${gateway.url}/v1/models/${id}`)).json();
  expect(await told("was")).toMatchObject({
    ...{ loaded: false, limit: { context: 4096, output: 1024 }, max_output_tokens: 1024 },
  });
  expect(await told("never")).toMatchObject({ loaded: false, max_model_len: 512, cost });
  expect(await told("never")).not.toHaveProperty("limit");
  expect(await told("unknown")).not.toHaveProperty("max_model_len");
});

test("one model by id, with its slash escaped or not", async () => {
  const { gateway } = await fleet();
  for (const path of ["org%2Fname:tag", "org/name:tag", "org%2Fname%3Atag"])
    expect(await (await fetch(`${gateway.url}/v1/models/${path}`)).json()).toMatchObject({
      id: "org/name:tag",
    });
  const missing = await fetch(`${gateway.url}/v1/models/none`);
  expect(missing.status).toBe(404);
  expect(await errorOf(missing)).toMatchObject({ code: "model_not_found", param: "model" });
});

test("an alias reaches its model, and only the model field of the body changes", async () => {
  const { gateway, a } = await fleet();
  const body = `{"seed":12345678901234567890, "model" : "small","messages":[{"model":"small"}],"x":1.0}`;
  expect((await post(gateway, body)).status).toBe(200);
  expect(a.requests[0]!.body).toBe(body.replace(`"model" : "small"`, `"model" : "zeta"`));
});

test.each([
  ["nope", /'nope' does not exist. Loaded are: org\/name:tag, zeta\./],
  ["absent", /'absent' \(org\/absent\) is in the catalogue but no neuron has loaded it\./],
  ["constructor", /'constructor' does not exist/],
])("unknown model %s: 404 with those that are known", async (model, message) => {
  const { gateway } = await fleet({ on_demand: false });
  const response = await post(gateway, { ...chat, model });
  expect(response.status).toBe(404);
  expect(await errorOf(response)).toMatchObject({
    code: "model_not_found",
    message: expect.stringMatching(message),
  });
});

test("a model that takes longer to load than a request may wait: 503, and when to come back", async () => {
  const { gateway } = await fleet({ wait_s: 0.3 });
  const response = await post(gateway, { ...chat, model: "big" });
  expect([response.status, response.headers.get("retry-after")]).toEqual([503, "3"]);
  expect(await errorOf(response)).toEqual({
    message: "The model 'big' is still being loaded; try again shortly.",
    ...{ type: "server_error", code: "model_loading", param: null },
  });
});
