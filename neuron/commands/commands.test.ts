// `neuron check`, `rm`, `completion` and `chat` as their users see them: what they print, and their exit codes.
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
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
