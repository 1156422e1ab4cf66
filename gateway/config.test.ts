import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse as parseToml } from "smol-toml";
import { expect, onTestFinished, test } from "vitest";
import { addressOf, ConfigError, loadConfig } from "./config.ts";
import type { Sources } from "./config.ts";

const root = join(import.meta.dirname, "..");

function folder(files: Record<string, string>): string {
  const path = mkdtempSync(join(tmpdir(), "cortex-config-"));
  onTestFinished(() => rmSync(path, { recursive: true }));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(path, name), text);
  return path;
}

function load(files: Record<string, string>, env: Record<string, string> = {}, flags: Sources["flags"] = {}) {
  return loadConfig({ folder: folder(files), env, flags });
}

function failure(files: Record<string, string>, env: Record<string, string> = {}): string {
  try {
    load(files, env);
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    return (error as Error).message.replace(/^.*\/cortex-config-[^/]*\//gm, "");
  }
  throw new Error("the configuration was accepted");
}

test("nothing at all is a configuration", () => {
  const { cortex, models, files } = load({});
  expect(cortex.gateway.listen).toBe("127.0.0.1:31313");
  expect(cortex.gateway.metrics_listen).toBe("127.0.0.1:31314");
  expect(cortex.neurons).toEqual([]);
  expect(models).toEqual({ models: [], aliases: {} });
  expect(files).toEqual([]);
});

test("both example files parse, and show every key with its default", () => {
  const { cortex, models, files } = loadConfig({ file: "cortex.example.toml", env: {}, folder: root });
  expect(cortex.neurons.map((n) => n.name)).toEqual(["alpha", "beta"]);
  expect(models.aliases).toEqual({ small: "demo" });
  expect(files.map((f) => f.slice(root.length + 1))).toEqual(["cortex.example.toml", "models.example.toml"]);
  const shown = parseToml(readFileSync(join(root, "cortex.example.toml"), "utf8"));
  const defaults = load({}).cortex;
  expect(shown.gateway).toEqual(defaults.gateway);
  expect(shown.poll).toEqual(defaults.poll);
  expect([shown.auth, shown.breaker]).toEqual([defaults.auth, defaults.breaker]);
  expect(shown).toMatchObject({ state: defaults.state, state_name: defaults.state_name });
  expect(shown.state_replicas).toBe(defaults.state_replicas);
});

test("the environment reaches into lists and numbers, and leaves strangers alone", () => {
  const { cortex } = load(
    {},
    {
      CORTEX_NEURONS__0__NAME: "one",
      CORTEX_NEURONS__0__ENDPOINT: "http://h:1/",
      CORTEX_POLL__INTERVAL_S: "0.5",
      CORTEX_STATE_NAME: "007",
      CORTEX_PORT: "tcp://10.0.0.1:31313",
      CORTEX_API_KEY: "secret",
    },
  );
  expect(cortex.neurons).toEqual([{ name: "one", endpoint: "http://h:1", kind: "neuron" }]);
  expect([cortex.poll.interval_s, cortex.state_name]).toEqual([0.5, "007"]);
});

test("a server of another make has its key and names; the file of keys lies beside the one that names it", () => {
  const toml = '[[neurons]]\nname="a"\nendpoint="http://h:1/v1"\nkind="openai"\nmodels={demo="demo.gguf"}\n';
  const auth = '[auth]\nmode="required"\nkeys_file="secret/keys.json"\n';
  const { cortex, keysFile } = load({ "cortex.toml": toml + auth }, { CORTEX_NEURONS__0__API_KEY: "k" });
  const names = { models: { demo: "demo.gguf" }, api_key: "k" };
  expect(cortex.neurons).toEqual([{ name: "a", endpoint: "http://h:1/v1", kind: "openai", ...names }]);
  expect(keysFile).toMatch(/\/cortex-config-[^/]+\/secret\/keys\.json$/);
});

test("models.toml beside cortex.toml is read; a named one is relative to the file that names it", () => {
  const beside = load({ "cortex.toml": "", "models.toml": '[aliases]\nx = "y"' });
  expect(beside.models.aliases).toEqual({ x: "y" });
  const named = load({ "cortex.toml": 'models_config = "m.toml"', "m.toml": '[[models]]\nid = "a"' });
  expect(named.models.models).toEqual([{ id: "a", min_devices: 1, pinned_on: [], residency_priority: 100 }]);
});

test.each([
  [
    "an unknown key",
    { "cortex.toml": "[gateway]\nlisten_on = 1" },
    "cortex.toml: gateway.listen_on: unknown key",
  ],
  ["an unknown table", { "cortex.toml": "[evictions]\n" }, "cortex.toml: evictions: unknown key"],
  [
    "an address without a port",
    { "cortex.toml": '[gateway]\nlisten = "localhost"' },
    'cortex.toml: gateway.listen: expected host:port (got "localhost")',
  ],
  [
    "a port too high",
    { "cortex.toml": '[gateway]\nlisten = "h:70000"' },
    'cortex.toml: gateway.listen: the port is above 65535 (got "h:70000")',
  ],
  [
    "a bad endpoint",
    { "cortex.toml": '[[neurons]]\nname = "a"\nendpoint = "10.0.0.1:13131"' },
    'cortex.toml: neurons.0.endpoint: expected http://host:port (got "10.0.0.1:13131")',
  ],
  [
    "a neuron without endpoint",
    { "cortex.toml": '[[neurons]]\nname = "a"' },
    "cortex.toml: neurons.0.endpoint: is missing",
  ],
  [
    "two neurons of one name",
    {
      "cortex.toml":
        '[[neurons]]\nname="a"\nendpoint="http://h:1"\n[[neurons]]\nname="a"\nendpoint="http://h:2"',
    },
    "cortex.toml: neurons: two have the same name",
  ],
  [
    "a local neuron that would never start",
    { "cortex.toml": '[local_neuron]\nport = 1\n[[neurons]]\nname="a"\nendpoint="http://h:1"' },
    "cortex.toml: local_neuron: is of use only where no [[neurons]] are listed",
  ],
  [
    "a key for a neuron of ours, and without showing it",
    { "cortex.toml": '[[neurons]]\nname="a"\nendpoint="http://h:1"\napi_key="s3cret"' },
    'cortex.toml: neurons.0: api_key and models are of use only with kind = "openai"',
  ],
  [
    "a key of the wrong type, and without showing it",
    { "cortex.toml": '[[neurons]]\nname="a"\nendpoint="http://h:1"\nkind="openai"\napi_key=31337' },
    "cortex.toml: neurons.0.api_key: expected a text",
  ],
  [
    "a collector's header of the wrong type, and without showing it",
    { "cortex.toml": "[traces.headers]\nauthorization = 31337" },
    "cortex.toml: traces.headers.authorization: expected a text",
  ],
  [
    "a time that no timer can wait",
    { "cortex.toml": "[gateway]\nidle_timeout_s = inf" },
    "cortex.toml: gateway.idle_timeout_s: Invalid value: Expected <=86400 but received Infinity",
  ],
  [
    "a wrong type",
    { "cortex.toml": "[poll]\nstrikes = 1.5" },
    "cortex.toml: poll.strikes: Invalid integer: Received 1.5",
  ],
  [
    "a missing models file",
    { "cortex.toml": 'models_config = "no.toml"' },
    "no.toml: cannot be read: there is no such file",
  ],
  [
    "an alias of an alias",
    { "models.toml": '[aliases]\na = "b"\nb = "c"' },
    "models.toml: aliases: an alias names a model, not another alias",
  ],
  [
    "an unknown key of a model",
    { "models.toml": '[[models]]\nid = "a"\npinned = []' },
    "models.toml: models.0.pinned: unknown key",
  ],
  [
    "a store of a kind that we have not",
    { "cortex.toml": 'state = "redis://box"' },
    'cortex.toml: state: expected "memory" or nats://host:4222 (got "redis://box")',
  ],
  [
    "a strategy that does not exist",
    { "cortex.toml": '[eviction]\nstrategy = "fifo"' },
    'cortex.toml: eviction.strategy: Invalid type: Expected ("lru" | "priority") but received "fifo"',
  ],
])("%s", (_, files, message) => {
  expect(failure(files)).toBe(message);
});

test("a problem of a variable names the variable", () => {
  expect(failure({}, { CORTEX_GATEWAY__PORT: "1" })).toBe("CORTEX_GATEWAY__PORT: gateway.port: unknown key");
});

test.each([
  ["127.0.0.1:80", { host: "127.0.0.1", port: 80 }],
  ["[::1]:31313", { host: "::1", port: 31313 }],
  ["localhost:0", { host: "localhost", port: 0 }],
])("address %s", (text, want) => expect(addressOf(text)).toEqual(want));
