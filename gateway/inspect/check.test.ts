import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { check } from "./check.ts";
import { openNeuron, unusedPort } from "../fixtures/gateway.fixture.ts";

async function checked(files: Record<string, string>, { offline = false, env = {} } = {}): Promise<string[]> {
  const cwd = mkdtempSync(join(tmpdir(), "cortex-check-"));
  onTestFinished(() => rmSync(cwd, { recursive: true }));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(cwd, name), text);
  const neuronScript = join(cwd, "neuron.js");
  const lines: string[] = [];
  for await (const { verdict, what, text } of check({ folder: cwd, env, offline, neuronScript }))
    lines.push(`${verdict} ${what}: ${text.replaceAll(cwd, "HERE")}`);
  return lines;
}

const neuron = (name: string, url: string, more = "") =>
  `[[neurons]]\nname = "${name}"\nendpoint = "${url}"\n${more}\n`;

test("files, neurons and models that are as they should be", async () => {
  const a = await openNeuron("demo");
  const lines = await checked({
    "cortex.toml": neuron("a", a.url),
    "models.toml": '[[models]]\nid = "demo"\n[aliases]\nsmall = "demo"\n',
  });
  expect(lines).toEqual([
    "pass configuration: HERE/cortex.toml, HERE/models.toml",
    "pass models: 1 listed, 1 alias",
    expect.stringMatching(/^pass neuron a: http:\S+: version \S+ on \S+, Mock 9000; has demo$/),
  ]);
});

test("a model that is nowhere, where nobody loads it when it is asked for", async () => {
  const a = await openNeuron("demo");
  const files = { "cortex.toml": neuron("a", a.url), "models.toml": '[[models]]\nid = "big"\n' };
  expect((await checked(files)).filter((line) => line.startsWith("note"))).toEqual([]);
  const manual = { ...files, "cortex.toml": `${files["cortex.toml"]}[loading]\non_demand = false\n` };
  expect(await checked(manual)).toContain(
    "note models: big is on no neuron, and loading.on_demand is off: `cortex load big`",
  );
});

test("what a neuron cannot answer is told with its name and address", async () => {
  const [broken, dead] = [await openNeuron("demo"), await unusedPort()];
  broken.models.set("big", { status: "failed", error: "no such folder" });
  const toml = neuron("broken", broken.url) + neuron("dead", `http://127.0.0.1:${dead}`);
  const lines = await checked({ "cortex.toml": toml });
  expect(lines.slice(2)).toEqual([
    expect.stringMatching(/^pass neuron broken/),
    expect.stringMatching(
      /^FAIL neuron dead: http:\S+: \/\w+: ECONNREFUSED; is `neuron --host 0.0.0.0` running/,
    ),
    "FAIL neuron broken: big failed to load: no such folder",
  ]);
});

test("a server of another make", async () => {
  const other = await openNeuron("demo");
  const lines = await checked({ "cortex.toml": neuron("other", other.url, 'kind = "openai"') });
  expect(lines.at(-1)).toMatch(/^FAIL neuron other: http:\S+: /); // it has no /v1/models
});

test.each([
  ["a wrong file", { "cortex.toml": "x = 1" }, "FAIL configuration: HERE/cortex.toml: x: unknown key"],
  [
    "an alias of nothing",
    { "models.toml": '[aliases]\nsmall = "other"\n' },
    "note models: alias small: other is not listed, so it works only while a neuron has it",
  ],
  [
    "a pin to nowhere",
    { "models.toml": '[[models]]\nid = "demo"\npinned_on = ["b"]\n' },
    "FAIL models: demo: pinned_on names b, and no neuron is called so",
  ],
  [
    "keys that nobody has",
    { "cortex.toml": '[auth]\nmode = "required"\n' },
    "FAIL keys: auth.mode is required and HERE/keys.json holds none; `cortex key add` makes one",
  ],
  [
    "a file of keys that is none",
    { "cortex.toml": '[auth]\nmode = "optional"\n', "keys.json": "{" },
    "FAIL keys: HERE/keys.json: is not JSON",
  ],
])("%s", async (_, files, line) => {
  expect(await checked(files as Record<string, string>, { offline: true })).toContain(line);
});

test("the local neuron reads its own file", async () => {
  const script = (code: number, says: string) =>
    `console.log(${JSON.stringify(says)}); process.exit(${code});`;
  const files = { "neuron.toml": "", "neuron.js": script(0, "neuron.toml: fine") };
  expect(await checked(files)).toContain("pass local neuron: neuron.toml: fine");
  expect(await checked(files, { env: {} })).toHaveLength(3);
  const unsaid = { "neuron.js": files["neuron.js"] };
  expect(await checked(unsaid)).toHaveLength(2);
  expect(await checked(unsaid, { env: { NEURON_PORT: "5" } })).toHaveLength(3);
  const bad = { ...files, "neuron.js": script(1, "error: port: Invalid") };
  expect(await checked(bad)).toContain("FAIL local neuron: error: port: Invalid");
});
