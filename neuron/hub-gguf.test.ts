// GGUF files from the hub: which are brought, where they lie, and how they are found again and listed.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Hub } from "./hub.ts";
import { startHub } from "./hub.fixture.ts";
import type { MockHub } from "./hub.fixture.ts";
import { snapshot } from "./snapshot.ts";
import type { SnapshotOptions } from "./snapshot.ts";
import { formatModels, storedModels } from "./store.ts";

const files = {
  "README.md": "x",
  "config.json": "{}",
  "imatrix.gguf": "x",
  "M-Q4_K_M.gguf": "four bits",
  "M-Q4_K_S.gguf": "four bits, small",
  "M-UD-IQ2_XXS.gguf": "two bits",
  "Q8_0/M-Q8_0-00001-of-00002.gguf": "eight bits, ",
  "Q8_0/M-Q8_0-00002-of-00002.gguf": "second part",
  "mmproj-BF16.gguf": "a tower, BF16",
  "mmproj-F16.gguf": "a tower",
};

let mock: MockHub;
let hub: Hub;
let folder: string;
let progress: [number, number][];

beforeEach(async () => {
  mock = await startHub(files);
  const cacheFolder = mkdtempSync(join(tmpdir(), "neuron-hub-gguf-"));
  hub = { endpoint: mock.endpoint, cacheFolder, token: undefined, offline: false };
  folder = join(cacheFolder, "models--org--tiny", "snapshots", mock.commit);
  progress = [];
});
afterEach(async () => {
  await mock.close();
  rmSync(hub.cacheFolder, { recursive: true, force: true });
});

function bring(quant?: string, more: Partial<SnapshotOptions> = {}) {
  return snapshot(hub, "org/tiny", "main", {
    quant,
    signal: new AbortController().signal,
    onProgress: (bytes, total) => progress.push([bytes, total]),
    onNote: () => undefined,
    ...more,
  });
}

const here = () =>
  readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => name.includes("."))
    .sort();
const downloads = () => mock.seen.filter((line) => line.startsWith("GET /") && line.includes(".gguf"));

test.each<[string | undefined, string[]]>([
  [undefined, ["M-Q4_K_M.gguf"]],
  ["q4_k_s", ["M-Q4_K_S.gguf"]],
  ["Q4_K", ["M-Q4_K_M.gguf"]],
  ["m-q4_k_s.gguf", ["M-Q4_K_S.gguf"]],
  ["Q8_0", ["Q8_0/M-Q8_0-00001-of-00002.gguf", "Q8_0/M-Q8_0-00002-of-00002.gguf"]],
])("asked for %s, it brings that, with all parts and a tower", async (quant, wanted) => {
  expect(await bring(quant)).toEqual({ path: join(folder, wanted[0]!), quant: undefined });
  expect(here()).toEqual([...wanted, "mmproj-F16.gguf"].sort());
  const brought = [...wanted, "mmproj-F16.gguf"] as (keyof typeof files)[];
  for (const name of brought) expect(readFileSync(join(folder, name), "utf8")).toBe(files[name]);
  const total = brought.reduce((sum, name) => sum + files[name].length, 0);
  expect(progress.at(-1)).toEqual([total, total]);
});

test("it is found again without a word to the network, and other forms are not taken for it", async () => {
  const { path } = await bring("q8_0");
  mock.seen.length = 0;
  expect((await bring("Q8_0")).path).toBe(path);
  expect((await bring()).path).toBe(path);
  expect(mock.seen).toEqual([]);
  expect((await bring("q4_k_s")).path).toBe(join(folder, "M-Q4_K_S.gguf"));
  expect(downloads()).toHaveLength(2); // where it lies, and itself: the tower was here
});

test("with part of it gone, the rest is brought", async () => {
  await bring("q8_0");
  rmSync(join(folder, "Q8_0/M-Q8_0-00002-of-00002.gguf"));
  await bring("q8_0");
  expect(here()).toContain("Q8_0/M-Q8_0-00002-of-00002.gguf");
});

test("offline, an open choice is told by name", async () => {
  await bring("q8_0");
  await bring("q4_k_s");
  const offline = { ...hub, offline: true };
  const asked = (quant?: string) =>
    snapshot(offline, "org/tiny", "main", {
      ...{ quant, signal: new AbortController().signal },
      ...{ onProgress: () => undefined, onNote: () => undefined },
    });
  expect((await asked("q8_0")).path).toContain("M-Q8_0-00001");
  await expect(asked()).rejects.toMatchObject({
    code: "bad_request",
    message: "quant: org/tiny has several GGUF files; name one of q4_k_s, q8_0",
  });
});

test.each<[string, string | undefined, (mock: MockHub) => void, string, string]>([
  [
    "no such form",
    "q5_k_m",
    () => undefined,
    "bad_request",
    "no GGUF file of the one kind q5_k_m; name one of",
  ],
  [
    "a form that we do not read",
    "ud-iq2_xxs",
    () => undefined,
    "unsupported_model",
    "M-UD-IQ2_XXS.gguf is UD-IQ2_XXS; supported are F32, F16, BF16, Q4_0",
  ],
  [
    "a part that is not there",
    "q8_0",
    ({ files }) => files.delete("Q8_0/M-Q8_0-00002-of-00002.gguf"),
    "bad_checkpoint",
    "org/tiny lacks Q8_0/M-Q8_0-00002-of-00002.gguf: 1 of the 2 parts",
  ],
  [
    "safetensors, and no type that floats become",
    "int4",
    (mock) => mock.files.set("model.safetensors", Buffer.from("x")),
    "bad_request",
    "quant: org/tiny has safetensors and no int4, and floats become q4_0, q4_1",
  ],
])("%s: refused before a byte is downloaded", async (_, quant, change, code, message) => {
  change(mock);
  const error: unknown = await bring(quant).catch((reason: unknown) => reason);
  expect(error).toMatchObject({ code, message: expect.stringContaining(message) });
  expect(downloads()).toEqual([]);
  expect(existsSync(folder)).toBe(false);
});

test("the only file: in floats it may be quantised, in blocks it is what it is", async () => {
  mock.files.clear();
  mock.files.set("M-BF16.gguf", Buffer.from("floats"));
  const path = join(folder, "M-BF16.gguf");
  expect(await bring("q4_k")).toEqual({ path, quant: "q4_k" });
  expect(await bring("bf16")).toEqual({ path, quant: undefined });
  expect(await bring()).toEqual({ path, quant: undefined });
  rmSync(hub.cacheFolder, { recursive: true, force: true });
  mock.files.clear();
  mock.files.set("M-Q8_0.gguf", Buffer.from("blocks"));
  await expect(bring("q4_k")).rejects.toMatchObject({
    code: "bad_request",
    message: "quant: org/tiny has no q4_k, only M-Q8_0.gguf",
  });
});

test("safetensors beside GGUF files come first, and are to be quantised where no file has the form", async () => {
  mock.files.set("model.safetensors", Buffer.from("floats"));
  mock.files.set("tokenizer.json", Buffer.from("{}"));
  expect(await bring()).toEqual({ path: folder, quant: undefined });
  expect(here()).toEqual(["config.json", "model.safetensors", "tokenizer.json"]);
  expect(await bring("q6_k")).toEqual({ path: folder, quant: "q6_k" });
  mock.seen.length = 0;
  expect(await bring("q6_k")).toEqual({ path: folder, quant: "q6_k" });
  expect(mock.seen).toEqual([]);
});

test("each GGUF file is a model of the list, named as --model takes it", async () => {
  mock.files.set("other-Q4_K_S.gguf", Buffer.from("twice the same label"));
  await bring("q8_0");
  await bring("M-Q4_K_S.gguf");
  await bring("other-Q4_K_S.gguf");
  const listed = (await storedModels(hub)).filter(({ id }) => id !== "demo");
  const entry = (quant: string, file: string, bytes: number) => {
    return { id: `org/tiny:${quant}`, bytes, format: "gguf", complete: true, path: join(folder, file) };
  };
  expect(listed).toEqual([
    entry("M-Q4_K_S.gguf", "M-Q4_K_S.gguf", 16),
    entry("other-Q4_K_S.gguf", "other-Q4_K_S.gguf", 20),
    entry("Q8_0", "Q8_0/M-Q8_0-00001-of-00002.gguf", 23),
  ]);
  rmSync(join(folder, "Q8_0/M-Q8_0-00002-of-00002.gguf"));
  expect(formatModels(await storedModels(hub), hub)).toMatch(
    /^org\/tiny:Q8_0 +1 kB {2}gguf +incomplete {2}\/.*00001-of-00002.gguf$/m,
  );
});
