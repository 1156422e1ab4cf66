import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  readdirSync,
} from "node:fs";
import { statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { EngineError } from "../engine/errors.ts";
import { hubFrom } from "./hub.ts";
import type { Hub } from "./hub.ts";
import { gitSha1, sha256, startHub } from "./hub.fixture.ts";
import type { MockHub } from "./hub.fixture.ts";
import { snapshot } from "./snapshot.ts";
import type { SnapshotOptions } from "./snapshot.ts";

const weights = Buffer.alloc(300_000, "weights of a model, all different ");
const small = { "config.json": '{"a":1}', "tokenizer.json": "{}", "chat_template.jinja": "{{ messages }}" };
const foreign = {
  "model.onnx": "x",
  "pytorch_model.bin": "x",
  "model-Q8_0.gguf": "x",
  "README.md": "x",
  "image.png": "x",
};

let mock: MockHub;
let hub: Hub;
let repo: string;
let notes: string[];
let progress: [number, number][];

beforeEach(async () => {
  mock = await startHub({
    ...small,
    ...foreign,
    "model.safetensors": weights,
    "consolidated.safetensors": "x",
  });
  const cacheFolder = mkdtempSync(join(tmpdir(), "neuron-hub-"));
  hub = { endpoint: mock.endpoint, cacheFolder, token: undefined, offline: false };
  repo = join(cacheFolder, "models--org--tiny");
  notes = [];
  progress = [];
});
afterEach(() => mock.close());

async function bring(revision = "main", more: Partial<SnapshotOptions> = {}): Promise<string> {
  const { path } = await snapshot(hub, "org/tiny", revision, {
    signal: new AbortController().signal,
    onProgress: (bytes, total) => progress.push([bytes, total]),
    onNote: (line) => notes.push(line),
    pauseMs: 1,
    retries: 3,
    ...more,
  });
  return path;
}

async function failure(work: Promise<unknown>): Promise<EngineError> {
  const error: unknown = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(EngineError);
  return error as EngineError;
}

const partial = () => join(repo, "blobs", `${sha256(weights)}.incomplete`);
const stored = () => mock.seen.filter((line) => line.startsWith("GET /model"));

describe("a model from the hub", () => {
  test("lies in the cache as Hugging Face's own tools put it", async () => {
    const folder = await bring();
    expect(folder).toBe(join(repo, "snapshots", mock.commit));
    expect(readFileSync(join(repo, "refs", "main"), "utf8")).toBe(mock.commit);
    expect(readdirSync(folder).sort()).toEqual([...Object.keys(small), "model.safetensors"].sort());
    expect(readFileSync(join(folder, "model.safetensors")).equals(weights)).toBe(true);
    expect(readlinkSync(join(folder, "model.safetensors"))).toBe(`../../blobs/${sha256(weights)}`);
    expect(readlinkSync(join(folder, "config.json"))).toBe(`../../blobs/${gitSha1(Buffer.from('{"a":1}'))}`);
    expect(readdirSync(join(repo, "blobs")).filter((name) => name.includes("."))).toEqual([]);
    expect(progress.at(-1)).toEqual([weights.length, weights.length]);
    expect(progress.length).toBeGreaterThan(2);
  });

  test("is found again without a word to the network", async () => {
    const folder = await bring();
    mock.seen.length = 0;
    expect(await bring()).toBe(folder);
    expect(await bring(mock.commit)).toBe(folder);
    expect(mock.seen).toEqual([]);
    hub.offline = true;
    expect(await bring("main", { refresh: true })).toBe(folder);
  });

  test("refresh asks, and fetches only what is new", async () => {
    await bring();
    mock.seen.length = 0;
    await bring("main", { refresh: true });
    expect(mock.seen.filter((line) => !line.includes("/api/"))).toEqual([]);
    expect(mock.seen).not.toEqual([]);
  });

  test("another revision keeps its own name", async () => {
    await bring("v2");
    expect(readFileSync(join(repo, "refs", "v2"), "utf8")).toBe(mock.commit);
    expect(existsSync(join(repo, "refs", "main"))).toBe(false);
  });

  test("only the shards that the index names", async () => {
    const weight_map = { a: "model-1.safetensors", b: "model-2.safetensors" };
    mock.files.set("model.safetensors.index.json", Buffer.from(JSON.stringify({ weight_map })));
    mock.files.set("model-1.safetensors", Buffer.from("one"));
    mock.files.set("model-2.safetensors", Buffer.from("two"));
    const folder = await bring();
    expect(existsSync(join(folder, "model.safetensors"))).toBe(false);
    expect(readFileSync(join(folder, "model-2.safetensors"), "utf8")).toBe("two");
    expect(progress.at(-1)).toEqual([6, 6]);
    mock.files.delete("model-2.safetensors");
    hub.cacheFolder = mkdtempSync(join(tmpdir(), "neuron-hub-"));
    expect(await failure(bring())).toMatchObject({
      code: "bad_checkpoint",
      message: expect.stringContaining("model-2"),
    });
  });

  test("a mirror without a tree listing tells each file's checksum in its headers", async () => {
    mock.faults.noTree = true;
    const folder = await bring();
    expect(readFileSync(join(folder, "model.safetensors")).equals(weights)).toBe(true);
    expect(mock.seen.some((line) => line.startsWith("HEAD /org/tiny/resolve"))).toBe(true);
  });

  test("the token goes to the hub and not to its store", async () => {
    hub.token = "secret-without-prefix";
    mock.faults.token = hub.token;
    await bring();
    const withToken = mock.seen.filter((line) => line.endsWith("+token"));
    expect(withToken.length).toBe(mock.seen.length - 1);
    expect(stored()).toEqual(["GET /model.safetensors"]);
  });

  test("an empty file is a file", async () => {
    mock.files.set("empty.txt", Buffer.alloc(0));
    expect(statSync(join(await bring(), "empty.txt")).size).toBe(0);
  });

  test("two at once download once", async () => {
    let release: (value?: unknown) => void = () => undefined;
    mock.faults.hold = new Promise((resolve) => (release = resolve));
    const both = [bring(), bring()];
    await new Promise((resolve) => setTimeout(resolve, 100));
    release();
    const [first, second] = await Promise.all(both);
    expect(first).toBe(second);
    expect(stored()).toEqual(["GET /model.safetensors"]);
    expect(notes.join()).toContain("waiting for another process");
  });

  test("a lock whose owner has died does not hold", async () => {
    mkdirSync(join(repo, "blobs"), { recursive: true });
    writeFileSync(join(repo, "blobs", `${sha256(weights)}.lock`), "999999999");
    await bring();
  });
});

describe("a broken connection", () => {
  test("is taken up where it broke, by the same call", async () => {
    mock.faults = { cutAfter: 70_000, cuts: 3 };
    const folder = await bring();
    expect(readFileSync(join(folder, "model.safetensors")).equals(weights)).toBe(true);
    expect(stored()).toEqual([
      "GET /model.safetensors",
      "GET /model.safetensors bytes=70000-",
      "GET /model.safetensors bytes=140000-",
      "GET /model.safetensors bytes=210000-",
    ]);
  });

  test("leaves what arrived to a rerun", async () => {
    mock.faults = { cutAfter: 0 };
    writeTo(partial(), weights.subarray(0, 100_000));
    const error = await failure(bring());
    expect(error).toMatchObject({
      code: "download_failed",
      message: expect.stringMatching(/100 kB of 300 kB .*run again to continue$/),
    });
    expect(stored()).toHaveLength(4);
    expect(statSync(partial()).size).toBe(100_000);
    mock.faults = {};
    mock.seen.length = 0;
    await bring();
    expect(stored()).toEqual(["GET /model.safetensors bytes=100000-"]);
    expect(existsSync(partial())).toBe(false);
  });

  test("starts over where the store knows no ranges", async () => {
    writeTo(partial(), weights.subarray(0, 100_000));
    mock.faults.noRanges = true;
    const folder = await bring();
    expect(readFileSync(join(folder, "model.safetensors")).equals(weights)).toBe(true);
  });

  test("a partial file that is longer than the file starts over", async () => {
    writeTo(partial(), Buffer.alloc(400_000));
    await bring();
    expect(stored()).toEqual(["GET /model.safetensors"]);
  });

  test("a silent connection counts as broken", async () => {
    mock.faults.hold = new Promise(() => undefined);
    const error = await failure(bring("main", { silenceMs: 60, retries: 1 }));
    expect(error.code).toBe("download_failed");
    expect(statSync(partial()).size).toBe(weights.length - 1);
  });

  test("an abort ends it with its own reason and keeps the rest", async () => {
    mock.faults.hold = new Promise(() => undefined);
    const stop = new AbortController();
    const running = bring("main", { signal: stop.signal });
    while (!existsSync(partial()) || statSync(partial()).size < 1000)
      await new Promise((r) => setTimeout(r, 5));
    stop.abort(new EngineError("shutting_down", "stop"));
    expect((await failure(running)).code).toBe("shutting_down");
    expect(statSync(partial()).size).toBeGreaterThan(0);
    expect(readdirSync(join(repo, "blobs")).filter((name) => name.endsWith(".lock"))).toEqual([]);
  });
});

describe("failures by name", () => {
  test("a wrong checksum drops the file", async () => {
    mock.faults.wrongBytes = true;
    const error = await failure(bring());
    expect(error).toMatchObject({ code: "download_failed", message: expect.stringContaining("checksum") });
    expect(existsSync(partial())).toBe(false);
    expect(existsSync(join(repo, "blobs", sha256(weights)))).toBe(false);
  });

  test("damaged bytes from an earlier try are noticed", async () => {
    writeTo(partial(), Buffer.alloc(100_000, 9));
    expect(await failure(bring())).toMatchObject({
      code: "download_failed",
      message: expect.stringContaining("checksum"),
    });
    await bring();
  });

  test.each([
    [401, "download_failed", "set HF_TOKEN"],
    [403, "download_failed", "set HF_TOKEN"],
    [404, "model_not_found", "no such model"],
    [500, "download_failed", "500"],
  ])("the hub answers %i", async (status, code, words) => {
    mock.faults.status = status;
    expect(await failure(bring())).toMatchObject({ code, message: expect.stringContaining(words) });
  });

  test("nobody there", async () => {
    const gone = await startHub({});
    await gone.close();
    hub.endpoint = gone.endpoint;
    const error = await failure(bring());
    expect(error).toMatchObject({
      code: "download_failed",
      message: expect.stringContaining("ECONNREFUSED"),
    });
  });

  test("offline and not in the cache", async () => {
    hub.offline = true;
    expect(await failure(bring())).toMatchObject({
      code: "model_not_found",
      message: expect.stringContaining("offline"),
    });
    expect(mock.seen).toEqual([]);
  });

  test("a repository of another format", async () => {
    const ours = (name: string) => /\.(safetensors|gguf)$/.test(name);
    for (const name of [...mock.files.keys()]) if (ours(name)) mock.files.delete(name);
    const error = await failure(bring());
    expect(error).toMatchObject({
      code: "unsupported_model",
      message: expect.stringContaining("model.onnx"),
    });
  });

  test("a cache that is a file", async () => {
    hub = { ...hub, cacheFolder: import.meta.filename };
    const message = expect.stringMatching(
      /hub\.test\.ts\/\S+ cannot be written to: a part of its path is no folder$/,
    );
    expect(await failure(bring())).toMatchObject({ code: "bad_config", message });
  });

  test.skipIf(process.platform !== "linux")("a cache where nobody can make a folder", async () => {
    hub = { ...hub, cacheFolder: "/proc/none" };
    expect(await failure(bring())).toMatchObject({ code: "bad_config" });
  });

  // Writing to /dev/full fails as on a full disk.
  test.skipIf(!existsSync("/dev/full"))("a full disk", async () => {
    mkdirSync(join(repo, "blobs"), { recursive: true });
    symlinkSync("/dev/full", partial());
    const error = await failure(bring());
    expect(error).toMatchObject({
      code: "disk_full",
      message: expect.stringMatching(/300 kB more are needed, [\d.]+ .B are free; what has arrived is kept/),
      details: { neededBytes: weights.length },
    });
    expect(lstatSync(partial()).isSymbolicLink()).toBe(true);
  });

  test("a disk that cannot hold the model is refused before the download", async () => {
    const huge = mock.files.get("model.safetensors")!;
    Object.defineProperty(huge, "length", { value: 2 ** 60 });
    expect(await failure(bring())).toMatchObject({ code: "disk_full" });
    expect(stored()).toEqual([]);
  });
});

test("the environment of Hugging Face's tools", () => {
  const home = mkdtempSync(join(tmpdir(), "neuron-home-"));
  writeFileSync(join(home, "token"), "hf_file\n");
  expect(hubFrom({ HF_HOME: home })).toEqual({
    endpoint: "https://huggingface.co",
    cacheFolder: join(home, "hub"),
    token: "hf_file",
    offline: false,
  });
  const env = {
    HF_HOME: home,
    HF_HUB_CACHE: "/c",
    HF_ENDPOINT: "http://m/",
    HF_TOKEN: "t",
    HF_HUB_OFFLINE: "1",
  };
  expect(hubFrom(env)).toEqual({ endpoint: "http://m", cacheFolder: "/c", token: "t", offline: true });
  expect(hubFrom(env, { endpoint: "http://n", cache_folder: "/d", offline: false })).toEqual({
    endpoint: "http://n",
    cacheFolder: "/d",
    token: "t",
    offline: false,
  });
});

function writeTo(path: string, content: Buffer): void {
  mkdirSync(join(path, ".."), { recursive: true });
  writeFileSync(path, content);
}
