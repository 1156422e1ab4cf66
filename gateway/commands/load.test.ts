import { expect, test } from "vitest";
import { cortex } from "../fixtures/command.fixture.ts";
import { keyFor, openGateway, openNeuron, until } from "../fixtures/gateway.fixture.ts";
import { json } from "../fixtures/mock-neuron.fixture.ts";

/** A neuron that loads and unloads what it is told to. */
async function openLoader() {
  const neuron = await openNeuron();
  neuron.answer = ({ path, body }, response) => {
    const { model_id } = JSON.parse(body) as { model_id: string };
    const isLoad = path === "/models/load";
    if (isLoad) neuron.models.set(model_id, { status: "loaded" });
    else neuron.models.delete(model_id);
    json(response, 200, { status: isLoad ? "loaded" : "unloaded", model_id });
  };
  return neuron;
}

const models = { models: [{ id: "demo" }], aliases: { small: "demo" } };

test("load, pin, unload: what was done and where, by an alias too", async () => {
  const neuron = await openLoader();
  const gateway = await openGateway({ neurons: { a: neuron }, models });
  const at = ["--endpoint", gateway.url];
  expect(await cortex("load", "small", ...at)).toEqual({ code: 0, out: "demo: loaded on a\n", err: "" });
  expect(await cortex("models", "--quiet", ...at)).toMatchObject({ code: 0, out: "demo\nsmall\n" });
  expect(await cortex("pin", "demo", "a", ...at)).toMatchObject({ code: 0, out: "demo: stays on a\n" });
  expect(await cortex("pin", "demo", "a", "--undo", ...at)).toMatchObject({ out: "demo: may leave a\n" });
  expect(await cortex("unload", "demo", ...at)).toMatchObject({ code: 0, out: "demo: unloaded from a\n" });
  await until(() => neuron.models.size === 0);
  const unloaded = await cortex("unload", "demo", ...at);
  expect(unloaded).toEqual({ code: 1, out: "", err: "cortex: The model 'demo' is on no neuron. (404)\n" });
});

test("--json is the gateway's answer; --neuron names a place", async () => {
  const gateway = await openGateway({ neurons: { a: await openLoader(), b: await openLoader() }, models });
  const loaded = await cortex("load", "demo", "--neuron", "b", "--json", "-e", gateway.url);
  expect(JSON.parse(loaded.out)).toEqual({ status: "loaded", model: "demo", neurons: ["b"] });
  const wrong = await cortex("load", "demo", "--neuron", "c", "-e", gateway.url);
  expect(wrong).toMatchObject({ code: 1, err: "cortex: No neuron is called 'c'. (404)\n" });
});

test("where keys are asked for, an admin's is needed", async () => {
  const [admin, guest] = [keyFor("admin", { admin: true }), keyFor("guest")];
  const keys = [admin.key, guest.key];
  const cortexToml = { auth: { mode: "required" } };
  const gateway = await openGateway({ neurons: { a: await openLoader() }, models, keys, cortex: cortexToml });
  const load = (key: string) => cortex("load", "demo", "-e", gateway.url, "--key", key);
  expect(await load(guest.text)).toMatchObject({ code: 1, err: expect.stringContaining("(403)") });
  expect(await load(admin.text)).toMatchObject({ code: 0, out: "demo: loaded on a\n" });
});
