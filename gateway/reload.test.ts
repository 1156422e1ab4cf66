import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { loadConfig } from "./config.ts";
import type { TestGateway } from "./fixtures/gateway.fixture.ts";
import { chat, keyFor, openNeuron, post, until } from "./fixtures/gateway.fixture.ts";
import type { MockNeuron } from "./fixtures/mock-neuron.fixture.ts";
import { delta, done, finish, openStream, role } from "./fixtures/mock-neuron.fixture.ts";
import { serve } from "./serve.ts";

/** A gateway on a folder of configuration files, which a test may write anew. */
async function open(toml: string, files: Record<string, string> = {}) {
  const folder = mkdtempSync(join(tmpdir(), "cortex-reload-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const write = (name: string, text: string) => writeFileSync(join(folder, name), text);
  const fixed = '[gateway]\nlisten = "127.0.0.1:0"\nmetrics_listen = "127.0.0.1:0"\nlog_format = "json"\n';
  const configure = (text: string, more = "") =>
    write("cortex.toml", `${fixed}${more}[poll]\ninterval_s = 0.05\n${text}`);
  configure(toml);
  for (const [name, text] of Object.entries(files)) write(name, text);
  const logs: Record<string, unknown>[] = [];
  const reread = () => loadConfig({ env: {}, folder });
  const running = await serve({
    ...{ ...reread(), reread, version: "1.2.3", print: () => {}, onFatal: () => {} },
    write: (line) => logs.push(JSON.parse(line) as Record<string, unknown>),
  });
  onTestFinished(() => running.stop());
  const gateway = { ...running, logs } as unknown as TestGateway;
  const isHealthy = (name: string) =>
    running.gateway.fleet.has(name) && running.gateway.fleet.neuron(name).state === "healthy";
  return { gateway, configure, write, logs, isHealthy };
}

const listed = (neurons: Record<string, MockNeuron>, more = "") =>
  Object.entries(neurons)
    .map(([name, { url }]) => `[[neurons]]\nname = "${name}"\nendpoint = "${url}"\n${more}`)
    .join("");
const where = async (gateway: TestGateway, model = "demo") =>
  (await post(gateway, { ...chat, model })).headers.get("x-cortex-neuron");

test("neurons come and go without a stream that breaks", async () => {
  const [a, b] = [await openNeuron("demo"), await openNeuron("demo")];
  let end = () => {};
  a.answer = (_, response) => {
    openStream(response);
    response.write(role + delta("one"));
    end = () => response.end(delta("two") + finish + done);
  };
  const { gateway, configure, isHealthy, logs } = await open(listed({ a }));
  await until(() => isHealthy("a"));
  const running = await post(gateway, { ...chat, stream: true });
  configure(listed({ b }));
  expect(await gateway.reload()).toBe(true);
  await until(() => isHealthy("b"));
  expect([await where(gateway), gateway.gateway.fleet.has("a")]).toEqual(["b", false]);
  end();
  expect(await running.text()).toMatch(/one.*two.*\[DONE\]/s);
  const polls = a.polls.length;
  await new Promise((wake) => setTimeout(wake, 200));
  expect(a.polls.length).toBe(polls); // nobody asks it any more
  configure(listed({ b: a }));
  a.answer = b.answer;
  expect(await gateway.reload()).toBe(true);
  await until(() => isHealthy("b"));
  expect(await where(gateway)).toBe("b");
  expect(a.requests.length).toBe(2); // the name is the same, the neuron is another
  expect(
    logs.filter(({ event }) => event === "configuration reloaded").map(({ changed }) => changed),
  ).toEqual([...["neurons", "neurons"]]);
});

test("a drained neuron is still drained when it comes back", async () => {
  const [a, b] = [await openNeuron("demo"), await openNeuron("demo")];
  const { gateway, configure, isHealthy } = await open(listed({ a, b }));
  await until(() => isHealthy("a") && isHealthy("b"));
  await fetch(`${gateway.url}/api/neurons/a/drain`, { method: "POST" });
  configure(listed({ b }));
  await gateway.reload();
  configure(listed({ a, b }));
  await gateway.reload();
  await until(() => isHealthy("a") && isHealthy("b"));
  expect(await where(gateway)).toBe("b");
});

test("aliases, keys, limits of time and the log's level change; what needs a restart is named and stays", async () => {
  const neuron = await openNeuron("demo");
  const alice = keyFor("alice");
  const { gateway, configure, write, isHealthy, logs } = await open(listed({ a: neuron }));
  await until(() => isHealthy("a"));
  expect((await post(gateway, { ...chat, model: "small" })).status).toBe(404);
  write("models.toml", '[aliases]\nsmall = "demo"\n');
  expect(await gateway.reload()).toBe(true);
  expect(await where(gateway, "small")).toBe("a");
  const models = (await (await fetch(`${gateway.url}/v1/models`)).json()) as { data: { id: string }[] };
  expect(models.data.map(({ id }) => id)).toEqual(["demo", "small"]);

  write("keys.json", JSON.stringify({ keys: [alice.key] }));
  const changed = 'idle_timeout_s = 0.2\nbody_limit_mb = 1\nlog_level = "debug"\n';
  configure(`[auth]\nmode = "required"\n[responses]\nkeep_h = 1\n${listed({ a: neuron })}`, changed);
  expect(await gateway.reload()).toBe(true);
  expect((await post(gateway, chat)).status).toBe(401);
  const { headers } = alice;
  expect((await post(gateway, chat, { headers })).status).toBe(200);
  expect((await post(gateway, { ...chat, x: "y".repeat(2_000_000) }, { headers })).status).toBe(200);
  neuron.answer = (_, response) => openStream(response);
  expect(await (await post(gateway, { ...chat, stream: true }, { headers })).text()).toMatch(
    /upstream_timeout/,
  );
  const named = () => logs.filter(({ event }) => event === "settings that need a restart");
  expect(named()).toMatchObject([{ settings: "gateway.body_limit_mb responses.keep_h" }]);
  expect(await gateway.reload()).toBe(true);
  expect(named().length).toBe(2); // it is still so
  expect(logs.findLast(({ event }) => event === "configuration reloaded")).toMatchObject({
    changed: "nothing",
  });
});

test.each<[string, string, Record<string, string>, RegExp]>([
  ["cortex.toml", "[gateway2]\n", {}, /gateway2: unknown key/],
  ["models.toml", "", { "models.toml": '[aliases]\na = "b"\nb = "c"\n' }, /an alias names a model/],
  ["the keys' file", '[auth]\nmode = "required"\n', { "keys.json": "{" }, /keys\.json: is not JSON/],
])("a mistake in %s changes nothing, and is told", async (_, toml, files, reason) => {
  const [a, b] = [await openNeuron("demo"), await openNeuron("demo")];
  const { gateway, configure, write, isHealthy, logs } = await open(listed({ a }));
  await until(() => isHealthy("a"));
  configure(`${toml}${listed({ b })}`, "idle_timeout_s = 7\n");
  for (const [name, text] of Object.entries(files)) write(name, text);
  expect(await gateway.reload()).toBe(false);
  const line = { level: "error", event: "configuration not reloaded; the old one holds" };
  expect(logs.at(-1)).toMatchObject({ ...line, reason: expect.stringMatching(reason) });
  expect([await where(gateway), gateway.gateway.options.idleMs]).toEqual(["a", 300_000]);
  expect(gateway.gateway.fleet.has("b")).toBe(false);
});

test("a server of another make gets its new key; from listed neurons to a local one is a restart", async () => {
  const neuron = await openNeuron("demo");
  const other = (key: string) =>
    listed({ a: neuron }, `kind = "openai"\napi_key = "${key}"\nmodels = { demo = "x" }\n`);
  const { gateway, configure, isHealthy, logs } = await open(other("one"));
  await until(() => neuron.polls.includes("/v1/models"));
  expect(gateway.gateway.servers.get("a")?.apiKey).toBe("one");
  configure(other("two"));
  await gateway.reload();
  expect(gateway.gateway.servers.get("a")?.apiKey).toBe("two");
  configure(listed({ a: neuron }));
  await gateway.reload();
  expect(gateway.gateway.servers.size).toBe(0);
  await until(() => isHealthy("a"));
  configure("");
  expect(await gateway.reload()).toBe(true);
  expect(logs.at(-1)).toMatchObject({ settings: "neurons" });
  expect(await where(gateway)).toBe("a");
  expect(JSON.stringify(logs)).not.toMatch(/"one"|"two"/);
});
