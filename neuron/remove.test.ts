// What `neuron rm` takes from a cache that is laid out as Hugging Face's own tools do it.

import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { beforeEach, expect, onTestFinished, test } from "vitest";
import type { Hub } from "./hub.ts";
import { removeModel } from "./remove.ts";

const [first, second] = ["a".repeat(40), "b".repeat(40)];
let hub: Hub;
let repo: string;

beforeEach(() => {
  const cacheFolder = mkdtempSync(join(tmpdir(), "neuron-rm-"));
  onTestFinished(() => rmSync(cacheFolder, { recursive: true }));
  hub = { endpoint: "http://127.0.0.1:9", cacheFolder, token: undefined, offline: true };
  repo = join(cacheFolder, "models--org--tiny");
  for (const [blob, bytes] of [
    ["settings", 10],
    ["old", 2000],
    ["new", 3000],
  ] as const) {
    mkdirSync(join(repo, "blobs"), { recursive: true });
    writeFileSync(join(repo, "blobs", blob), "x".repeat(bytes));
  }
  place(first, "v1", { "config.json": "settings", "model.safetensors": "old" });
  place(second, "main", { "config.json": "settings", "model.safetensors": "new" });
});

function place(commit: string, ref: string, files: Record<string, string>): void {
  mkdirSync(join(repo, "refs"), { recursive: true });
  writeFileSync(join(repo, "refs", ref), commit);
  for (const [name, blob] of Object.entries(files)) {
    const pointer = join(repo, "snapshots", commit, name);
    mkdirSync(dirname(pointer), { recursive: true });
    symlinkSync(relative(dirname(pointer), join(repo, "blobs", blob)), pointer);
  }
}

test("a revision goes with what is its own; what another shares stays", async () => {
  expect(await removeModel(hub, "org/tiny@v1")).toEqual({ id: "org/tiny@v1", bytes: 2000 + first.length });
  expect(readdirSync(join(repo, "blobs")).sort()).toEqual(["new", "settings"]);
  expect([readdirSync(join(repo, "snapshots")), readdirSync(join(repo, "refs"))]).toEqual([
    [second],
    ["main"],
  ]);
  expect(existsSync(join(repo, "snapshots", second, "model.safetensors"))).toBe(true);
});

test("a commit names its revision; the last one takes the whole folder along", async () => {
  await removeModel(hub, `org/tiny@${first}`);
  expect((await removeModel(hub, "org/tiny")).bytes).toBe(10 + 3000 + second.length);
  expect(readdirSync(hub.cacheFolder)).toEqual([]);
});

test("a download that never came to its end", async () => {
  rmSync(join(repo, "snapshots"), { recursive: true });
  mkdirSync(join(repo, "snapshots"));
  writeFileSync(join(repo, "blobs", "new.lock"), "999999999"); // its process is gone
  expect(await removeModel(hub, "org/tiny")).toMatchObject({ id: "org/tiny" });
  expect(existsSync(repo)).toBe(false);
});

test("what is being downloaded stays", async () => {
  writeFileSync(join(repo, "blobs", "new.lock"), String(process.pid));
  await expect(removeModel(hub, "org/tiny")).rejects.toThrow(`downloaded by process ${process.pid}`);
  expect(readdirSync(join(repo, "snapshots")).length).toBe(2);
});

test.each(["org/other", "org/tiny@v2", "demo", "../../etc", "org/..", "."])("%s is not there", async (id) => {
  await expect(removeModel(hub, id)).rejects.toMatchObject({ code: "model_not_found" });
  expect(readdirSync(join(repo, "snapshots")).length).toBe(2);
});

test.skipIf(process.getuid?.() === 0)("of a folder that cannot be written to nothing goes", async () => {
  chmodSync(repo, 0o555);
  onTestFinished(() => chmodSync(repo, 0o755));
  await expect(removeModel(hub, "org/tiny@v1")).rejects.toMatchObject({ code: "bad_config" });
  expect(readdirSync(join(repo, "snapshots")).length).toBe(2);
});
