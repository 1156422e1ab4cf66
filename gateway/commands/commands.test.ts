// What the commands ask a gateway, what they print of its answer, and their exit codes.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import { cortex, openAnswers } from "../fixtures/command.fixture.ts";
import { openGateway, openNeuron, until } from "../fixtures/gateway.fixture.ts";

const done = { status: "loaded", model: "m", neurons: ["a"] };
const answers = {
  "POST /api/models/load": done,
  "POST /api/models/unload": done,
  "POST /api/models/pin": { model: "m", pinned: true },
  "GET /v1/models": { data: [] },
};

test.each<[string, string, unknown]>([
  ["load m", "POST /api/models/load", { model: "m", wait: true }],
  ["load m --no-wait", "POST /api/models/load", { model: "m", wait: false }],
  ["load m --neuron a", "POST /api/models/load", { model: "m", wait: true, neuron: "a" }],
  ["unload m", "POST /api/models/unload", { model: "m", force: false }],
  ["unload m --force", "POST /api/models/unload", { model: "m", force: true }],
  ["unload m --neuron a", "POST /api/models/unload", { model: "m", force: false, neuron: "a" }],
  ["pin m a", "POST /api/models/pin", { model: "m", neuron: "a", pinned: true }],
  ["pin m a --undo", "POST /api/models/pin", { model: "m", neuron: "a", pinned: false }],
  ["models", "GET /v1/models", undefined],
])("cortex %s asks %s", async (line, what, body) => {
  const { url, asked } = await openAnswers(answers);
  expect((await cortex(...line.split(" "), "-e", url, "--key", "k")).code).toBe(0);
  expect(asked).toEqual([{ what, body, key: "Bearer k" }]);
});

test("CORTEX_API_KEY is the key of who names none", async () => {
  const { url, asked } = await openAnswers(answers);
  vi.stubEnv("CORTEX_API_KEY", "of the environment");
  onTestFinished(() => void vi.unstubAllEnvs());
  await cortex("models", "-e", url);
  await cortex("models", "-e", url, "--key", "mine");
  expect(asked.map(({ key }) => key)).toEqual(["Bearer of the environment", "Bearer mine"]);
});

test("models: a table, names alone, JSON, and that there is none", async () => {
  const { url } = await openGateway({ neurons: { a: await openNeuron("demo") } });
  const at = ["--endpoint", url];
  expect((await cortex("models", ...at)).out).toMatch(/^MODEL +STATUS .*\ndemo +loaded +a +4096 +text\n$/);
  expect(await cortex("models", "-q", ...at)).toEqual({ code: 0, out: "demo\n", err: "" });
  const { out } = await cortex("models", "--json", ...at);
  expect(JSON.parse(out)).toMatchObject([{ id: "demo", loaded: true }]);
  const nothing = await openAnswers(answers);
  expect((await cortex("models", "-e", nothing.url)).out).toMatch(/^no models: no neuron has one/);
});

const wellKnown = {
  "GET /health": { status: "ok", fleet: [] },
  "GET /v1/models": { data: [{ id: "m", loaded: true, capabilities: ["embeddings"], tool_call: false }] },
  "POST /v1/embeddings": { data: [{ embedding: [0.6, 0.8] }, { embedding: [0, 1] }] },
  "POST /v1/chat/completions": { choices: [] }, // an unknown model is answered: that step fails
};

test("validate: lines without colours, or JSON; 1 when one says FAIL", async () => {
  const { url } = await openAnswers(wellKnown);
  const told = await cortex("validate", "-m", "m", "-e", url);
  expect(told.code).toBe(1);
  expect(told.out.split("\n").slice(0, 2)).toEqual([
    `pass  health          ${url} is a gateway, ok`,
    "pass  load            m was loaded already",
  ]);
  expect(told.out).toMatch(/^FAIL {2}errors +an unknown model was answered$/m);
  const { code, out } = await cortex("validate", "--json", "-m", "m", "-e", url);
  const { passed, findings } = JSON.parse(out) as { passed: boolean; findings: { verdict: string }[] };
  expect([code, passed, findings.filter(({ verdict }) => verdict === "FAIL").length]).toEqual([1, false, 1]);
});

test("validate --unload asks for it, and --timeout is in seconds", async () => {
  const { url, asked } = await openAnswers(wellKnown);
  const timeout = vi.spyOn(AbortSignal, "timeout");
  onTestFinished(() => timeout.mockRestore());
  await cortex("validate", "-m", "m", "-e", url, "--timeout", "7");
  expect(asked.map(({ what }) => what)).not.toContain("POST /api/models/unload");
  expect(new Set(timeout.mock.calls.flat())).toEqual(new Set([7000]));
  await cortex("validate", "-m", "m", "-e", url, "--unload");
  expect(asked.map(({ what }) => what)).toContain("POST /api/models/unload");
});

test("check reads the file that is named; JSON; 0 when nothing fails", async () => {
  const folder = mkdtempSync(join(tmpdir(), "cortex-commands-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "mine.toml");
  writeFileSync(file, '[[neurons]]\nname = "a"\nendpoint = "http://127.0.0.1:9"\n');
  const good = await cortex("check", "--offline", "-c", file);
  expect([good.code, good.out.split("\n")[0]]).toEqual([0, `pass  configuration   ${file}`]);
  writeFileSync(file, "nonsense = 1\n");
  const { code, out } = await cortex("check", "--offline", "--json", "-c", file);
  expect([code, JSON.parse(out)]).toEqual([
    1,
    {
      passed: false,
      findings: [{ verdict: "FAIL", what: "configuration", text: `${file}: nonsense: unknown key` }],
    },
  ]);
});

test("status --watch looks again until it is stopped", async () => {
  const health = { status: "ok", version: "1", neurons: { healthy: 0, total: 0 }, fleet: [] };
  const { url, asked } = await openAnswers({ ...answers, "GET /health": health });
  const watching = cortex("status", "--watch", "--interval", "0.1", "-e", url);
  await until(() => asked.filter(({ what }) => what === "GET /health").length >= 3);
  process.emit("SIGINT", "SIGINT");
  const { code, out } = await watching;
  expect([code, out.match(/: ok, 0 of 0 neurons healthy/g)!.length >= 2]).toEqual([0, true]);
});

test.each([
  ["status --interval 0.01", "Expected 0.1 to 3600 seconds."],
  ["status --interval x", "Expected 0.1 to 3600 seconds."],
  ["validate -m m --timeout 0", "Expected seconds, up to a day."],
  ["validate", "required option '-m, --model <model>' not specified"],
  ["drain a --wait never", "Expected seconds."],
  ["key usage --days 0", "Expected a whole number from 1."],
  ["completion csh", "Allowed choices are bash, zsh, fish."],
  ["models --endpoint http://", "Expected http://host:port."],
])("cortex %s: wrong usage, exit code 2", async (line, words) => {
  expect(await cortex(...line.split(" "))).toMatchObject({
    ...{ code: 2, out: "" },
    err: expect.stringContaining(words),
  });
});

const nobody = "http://127.0.0.1:9";

test.each<[string, number, string, RegExp]>([
  [`load m -e ${nobody}`, 2, "no_answer", /^nobody answers on .*ECONNREFUSED/],
  [`unload m -e ${nobody}`, 2, "no_answer", /^nobody answers on/],
  [`pin m a -e ${nobody}`, 2, "no_answer", /^nobody answers on/],
  [`models -e ${nobody}`, 2, "no_answer", /^nobody answers on/],
  [`drain a -e ${nobody}`, 2, "no_answer", /^nobody answers on/],
  [`env codex -e ${nobody}`, 2, "no_answer", /^nobody answers on/],
  [`key usage -e ${nobody}`, 2, "no_answer", /^nobody answers on/],
  [
    `status -e ${nobody}`,
    2,
    "no_answer",
    /^no gateway answers on .*: ECONNREFUSED; `cortex serve` starts one/,
  ],
  ["env codex -m other -e URL", 1, "model_not_found", /^there is no model other; known: m$/],
  ["env codex --dialect chat -e URL", 2, "wrong_usage", /^Codex speaks responses, not chat$/],
  ["key ls -c no.toml", 1, "bad_config", /no\.toml: cannot be read/],
  ["status --interval 0", 2, "wrong_usage", /Expected 0\.1 to 3600 seconds/],
  ["validate", 2, "wrong_usage", /^required option/],
])("cortex %s --json: a failure is the one document on standard output", async (line, code, of, words) => {
  const { url } = await openAnswers(wellKnown);
  const said = await cortex(...line.replace("URL", url).split(" "), "--json");
  const { error } = JSON.parse(said.out) as { error: { code: string; message: string } };
  expect([said.code, error]).toEqual([code, { code: of, message: expect.stringMatching(words) }]);
  expect(said.err).toContain(error.message); // people are told, too
});

test("what the gateway says no with is told with its code and status", async () => {
  const { url } = await openAnswers({});
  const { code, out } = await cortex("load", "m", "--json", "-e", url);
  const message = "no POST /api/models/load (404)";
  expect([code, JSON.parse(out)]).toEqual([1, { error: { message, code: "not_found", status: 404 } }]);
});

test("validate of nobody: exit code 2, as of all who ask a gateway", async () => {
  const { code, out } = await cortex("validate", "-m", "m", "-e", nobody);
  expect([code, out]).toEqual([2, expect.stringMatching(/^FAIL {2}health +nobody answers on .*\n$/)]);
  const said = await cortex("validate", "-m", "m", "--json", "-e", nobody);
  expect([said.code, JSON.parse(said.out)]).toMatchObject([
    2,
    { passed: false, findings: [{ what: "health", code: "no_answer" }] },
  ]);
});

test("completion asks for the names of models", async () => {
  for (const shell of ["bash", "zsh", "fish"])
    expect((await cortex("completion", shell)).out, shell).toContain("cortex models --quiet");
});
