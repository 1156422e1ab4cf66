// `neuron check`, `rm`, `completion` and `chat` as their users see them: what they print, and their exit codes.
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { EngineError } from "../../engine/errors.ts";
import { neuron } from "../command.fixture.ts";

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "neuron-commands-"));
  onTestFinished(() => rmSync(path, { recursive: true }));
  return path;
}

/** A cache of the hub with these models, of 1960 bytes and 40 of their commit each. */
function cacheOf(...names: string[]): string {
  const cache = folder();
  for (const name of names) {
    const repo = join(cache, `models--${name.replace("/", "--")}`);
    const snapshot = join(repo, "snapshots", "a".repeat(40));
    for (const path of [snapshot, join(repo, "refs"), join(repo, "blobs")])
      mkdirSync(path, { recursive: true });
    writeFileSync(join(repo, "refs", "main"), "a".repeat(40));
    writeFileSync(join(snapshot, "config.json"), "x".repeat(1960));
  }
  return cache;
}

test("rm takes all that are named, and says what that gave back", async () => {
  const cache = cacheOf("org/one", "org/two", "org/three");
  expect(await neuron(["rm", "org/one", "org/two", "--cache-dir", cache])).toEqual({
    ...{ code: 0, err: "" },
    out: "org/one: removed, 2 kB free again\norg/two: removed, 2 kB free again\n",
  });
  expect(readdirSync(cache)).toEqual(["models--org--three"]);
  const { code, out } = await neuron(["rm", "org/three", "--json", "--cache-dir", cache]);
  expect([code, JSON.parse(out)]).toEqual([0, [{ id: "org/three", bytes: 2000 }]]);
  expect(readdirSync(cache)).toEqual([]);
});

test("check says which file it read, and what is loaded at the start", async () => {
  const file = join(folder(), "mine.toml");
  writeFileSync(file, "port = 5\n[[default_models]]\nmodel_id = 'demo'\n");
  expect(await neuron(["check", "--config", file])).toEqual({
    ...{ code: 0, err: "" },
    out: `${file}: fine; models at start: demo\n`,
  });
  const { out } = await neuron(["check", "--json", "-c", file], { NEURON_STRICT: "true" });
  expect(JSON.parse(out)).toMatchObject({
    file,
    config: { port: 5, host: "127.0.0.1", strict: true, default_models: [{ model_id: "demo" }] },
  });
  expect((await neuron(["check"])).out).toBe(
    "no neuron.toml, so the defaults: fine; models at start: none\n",
  );
});

test("check finds a model that is none", async () => {
  const file = join(folder(), "mine.toml");
  writeFileSync(file, "[[default_models]]\nmodel_id = 'small'\nsource = 'what is this'\n");
  expect(await neuron(["check", "--config", file])).toMatchObject({
    ...{ code: 1, out: "" },
    err: expect.stringMatching(/^error: what is this: neither/),
  });
});

test.each<[string, number, string, string]>([
  ["ls --cache-dir FILE", 1, "bad_config", "is a file, not a folder"],
  ["pull what?", 1, "model_not_found", "neither a folder"],
  ["rm org/none", 1, "model_not_found", "org/none is not in"],
  ["plan -m /no/model", 1, "model_not_found", "/no/model does not exist"],
  ["verify /no/folder --every-way --strict", 1, "bad_request", "one or the other"],
  ["doctor --config no.toml", 1, "bad_config", "no.toml: cannot be read"],
  ["check --config no.toml", 1, "bad_config", "no.toml: cannot be read"],
  ["chat m hi -e http://127.0.0.1:9", 1, "no_answer", "ECONNREFUSED"],
  ["devices --colour", 2, "wrong_usage", "unknown option '--colour'"],
  ["pull", 2, "wrong_usage", "missing required argument 'ref'"],
])("neuron %s --json: a failure is the one document on standard output", async (line, code, of, words) => {
  const args = line.replace("FILE", import.meta.filename).split(" ");
  const env = { HF_HOME: folder(), HF_HUB_OFFLINE: "1" };
  const said = await neuron([...args, "--json"], env);
  const { error } = JSON.parse(said.out) as { error: { code: string; message: string } };
  expect([said.code, error]).toEqual([code, { code: of, message: expect.stringContaining(words) }]);
  expect(said.err).toContain(`error: ${error.message}\n`); // people are told, too
  expect((await neuron(args, env)).out).toBe("");
});

test.each<[string[], NodeJS.ProcessEnv, number, string]>([
  [["--json", "--port", "70000"], {}, 1, "--port: port: "],
  [["serve", "--json"], {}, 1, "no adapter"],
  [[], { NEURON_LOG_FORMAT: "json" }, 1, "no adapter"],
])("neuron %j with %j: a failure is a line of the log", async (args, env, code, words) => {
  const openEngine = () => Promise.reject(new EngineError("no_adapter", "no adapter"));
  const said = await neuron(args, env, openEngine);
  expect([said.code, said.out]).toEqual([code, ""]);
  expect(JSON.parse(said.err)).toEqual({
    ...{ time: expect.any(String), level: "error" },
    message: expect.stringContaining(words),
  });
});

test("completion asks for the names of the models here, and knows three shells", async () => {
  for (const shell of ["bash", "zsh", "fish"]) {
    const { code, out } = await neuron(["completion", shell]);
    expect([code, out.includes("neuron ls --quiet")], shell).toEqual([0, true]);
  }
  expect(await neuron(["completion", "csh"])).toMatchObject({
    ...{ code: 2, out: "" },
    err: expect.stringContaining("Allowed choices are bash, zsh, fish."),
  });
});
