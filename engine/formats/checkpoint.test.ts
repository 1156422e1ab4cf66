import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { demoModel, referenceFolders } from "../../test-fixtures/golden.ts";
import { EngineError } from "../errors.ts";
import { Checkpoint, weightDtype, maxChunkBytes, openCheckpoint } from "./checkpoint.ts";
import { f32ToBf16, f32ToF16 } from "./halves.ts";
import { writeSafetensors, type TensorSource } from "./write.ts";

const root = mkdtempSync(join(tmpdir(), "checkpoint-"));
afterAll(() => rmSync(root, { recursive: true }));

let count = 0;
/** A model folder of these files: JSON values, text, or tensors. */
async function folderOf(files: Record<string, unknown>): Promise<string> {
  const folder = join(root, String(count++));
  mkdirSync(folder);
  for (const [name, content] of Object.entries(files)) {
    if (Array.isArray(content)) await writeSafetensors(join(folder, name), content as TensorSource[]);
    else writeFileSync(join(folder, name), typeof content === "string" ? content : JSON.stringify(content));
  }
  return folder;
}

const values = (length: number) => Float32Array.from({ length }, (_, i) => i / 4 - 3);
const f32 = (name: string, ...shape: number[]): TensorSource => {
  return { name, dtype: "F32", shape, data: values(shape.reduce((a, b) => a * b, 1)) };
};
const config = { model_type: "test" };

function openFiles(): string[] {
  if (process.platform !== "linux") return [];
  return readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)].filter((target) => target.startsWith(root));
    } catch {
      return []; // the descriptor that listed the folder is gone
    }
  });
}

async function failure(promise: Promise<unknown>): Promise<EngineError> {
  const error: unknown = await promise.then(
    () => new Error("nothing was refused"),
    (reason: unknown) => reason,
  );
  if (error instanceof EngineError) return error;
  throw error;
}

describe("which files count", () => {
  const shard = (i: number, of: number, style = "model-") =>
    `${style}${String(i).padStart(5, "0")}-of-${String(of).padStart(5, "0")}.safetensors`;
  const index = "model.safetensors.index.json";

  test.each<[string, Record<string, unknown>, string[]]>([
    ["one file", { "model.safetensors": [f32("a", 2), f32("b", 3)] }, ["a", "b"]],
    [
      "an index, and no tensor that it leaves out",
      {
        [index]: { weight_map: { a: shard(2, 2), b: shard(1, 2) } },
        [shard(1, 2)]: [f32("b", 2)],
        [shard(2, 2)]: [f32("a", 3), f32("b", 5)],
      },
      ["a", "b"],
    ],
    [
      "one file rather than a stale index",
      { "model.safetensors": [f32("a", 2)], [index]: { weight_map: { a: shard(1, 9) } } },
      ["a"],
    ],
    ["shards without an index", { [shard(1, 2)]: [f32("b", 2)], [shard(2, 2)]: [f32("a", 3)] }, ["b", "a"]],
    [
      "shards of the other name",
      {
        [shard(1, 2, "model.safetensors-")]: [f32("a", 2)],
        [shard(2, 2, "model.safetensors-")]: [f32("b", 2)],
      },
      ["a", "b"],
    ],
  ])("%s", async (_, files, names) => {
    const checkpoint = await openCheckpoint(await folderOf({ "config.json": config, ...files }));
    expect(checkpoint.names).toEqual(names);
    expect(checkpoint.config).toEqual(config);
    for (const name of names) {
      const { shape, bytes } = checkpoint.entry(name);
      expect(bytes).toBe(4 * shape[0]!);
      expect(await checkpoint.readF32(name)).toEqual(values(shape[0]!));
    }
    expect(checkpoint.totalBytes).toBe(names.reduce((sum, name) => sum + checkpoint.entry(name).bytes, 0));
    await checkpoint.close();
    expect(openFiles()).toEqual([]);
  });

  const weights = { "model.safetensors": [f32("a", 2)] };
  type Refusal = [string, Record<string, unknown> | string, EngineError["code"], string[]];
  test.each<Refusal>([
    ["a folder that is missing", join(root, "absent"), "model_not_found", ["absent does not exist"]],
    ["a file", join(root, "file"), "bad_checkpoint", ["is a file", "the folder that holds its config.json"]],
    [
      "a file named as GGUF",
      join(root, "file.gguf"),
      "bad_checkpoint",
      ["is 0 bytes long: too short for a GGUF"],
    ],
    ["an empty folder", {}, "bad_checkpoint", ["has no config.json", "it is empty"]],
    ["no config.json", weights, "bad_checkpoint", ["has no config.json", "it holds model.safetensors"]],
    ["GGUF alone", { "m-q4.gguf": "GGUF" }, "bad_checkpoint", ["m-q4.gguf", "is 4 bytes long"]],
    [
      "only a picture encoder",
      { "mmproj-F16.gguf": "GGUF" },
      "bad_checkpoint",
      ["has no config.json; it holds mmproj"],
    ],
    [
      "PyTorch files",
      { "config.json": config, "pytorch_model.bin": "" },
      "unsupported_model",
      ["pytorch_model.bin"],
    ],
    ["an entry of the hub cache", { snapshots: "", refs: "" }, "bad_checkpoint", ["hub cache", "snapshots/"]],
    [
      "no weights",
      { "config.json": config },
      "bad_checkpoint",
      ["has no model.safetensors or", "it holds config.json"],
    ],
    [
      "weights of another name",
      { "config.json": config, "adapter_model.safetensors": [f32("a", 2)] },
      "bad_checkpoint",
      ["has no model.safetensors", "adapter_model.safetensors"],
    ],
    [
      "config.json that is no JSON",
      { ...weights, "config.json": "{" },
      "bad_checkpoint",
      ["config.json: is not JSON"],
    ],
    [
      "config.json that is no object",
      { ...weights, "config.json": "[]" },
      "bad_checkpoint",
      ["not hold a JSON object"],
    ],
    [
      "generation_config.json that is no JSON",
      { ...weights, "config.json": config, "generation_config.json": "eos" },
      "bad_checkpoint",
      ["generation_config.json: is not JSON"],
    ],
    [
      "an index without a map",
      { "config.json": config, [index]: {} },
      "bad_checkpoint",
      [index, "no weight_map"],
    ],
    [
      "an index that leaves the folder",
      { "config.json": config, [index]: { weight_map: { a: "../a.safetensors" } } },
      "bad_checkpoint",
      [index, "weight_map.a", '"../a.safetensors"'],
    ],
    [
      "a missing shard",
      {
        "config.json": config,
        [shard(1, 2)]: [f32("a", 2)],
        [index]: { weight_map: { a: shard(1, 2), b: shard(2, 2) } },
      },
      "bad_checkpoint",
      [index, "names 2 files, 1 of which the folder lacks", shard(2, 2)],
    ],
    [
      "a shard without its tensor",
      {
        "config.json": config,
        [shard(1, 1)]: [f32("a", 2)],
        [index]: { weight_map: { a: shard(1, 1), b: shard(1, 1) } },
      },
      "bad_checkpoint",
      [shard(1, 1), "lacks tensor b"],
    ],
    [
      "a damaged shard after a good one",
      { "config.json": config, [shard(1, 2)]: [f32("a", 2)], [shard(2, 2)]: "PK\x03\x04 and so on" },
      "bad_checkpoint",
      [shard(2, 2), "not a safetensors file"],
    ],
    [
      "shards incomplete",
      { "config.json": config, [shard(2, 2)]: [f32("a", 2)] },
      "bad_checkpoint",
      ["complete set", shard(2, 2)],
    ],
    [
      "a tensor in two shards",
      { "config.json": config, [shard(1, 2)]: [f32("a", 2)], [shard(2, 2)]: [f32("a", 2)] },
      "bad_checkpoint",
      ["tensor a is in both", shard(1, 2), shard(2, 2)],
    ],
  ])("refused: %s", async (_, files, code, parts) => {
    writeFileSync(join(root, "file"), "");
    writeFileSync(join(root, "file.gguf"), "");
    const folder = typeof files === "string" ? files : await folderOf(files);
    const error = await failure(openCheckpoint(folder));
    expect(error.message).toContain(folder);
    for (const part of parts) expect(error.message).toContain(part);
    expect(error.code).toBe(code);
    expect(openFiles()).toEqual([]);
  });
});

describe("tensors", () => {
  const numbers = Float32Array.of(0.5, -1.25, 3, 65504, 2 ** -14, -0);
  const open = async () =>
    openCheckpoint(
      await folderOf({
        "config.json": config,
        "model.safetensors": [
          { name: "f32", dtype: "F32", shape: [2, 3], data: numbers },
          { name: "f16", dtype: "F16", shape: [2, 3], data: f32ToF16(numbers) },
          {
            name: "bf16",
            dtype: "BF16",
            shape: [6],
            data: f32ToBf16(numbers.map((x) => (x === 65504 ? 65536 : x))),
          },
          { name: "i64", dtype: "I64", shape: [1], data: BigInt64Array.of(5n) },
          { name: "scalar", dtype: "F32", shape: [], data: Float32Array.of(7) },
        ] satisfies TensorSource[],
      }),
    );

  test("are read as f32 from all three formats", async () => {
    const checkpoint = await open();
    expect(await checkpoint.readF32("f32")).toEqual(numbers);
    expect(await checkpoint.readF32("f16")).toEqual(numbers);
    expect(await checkpoint.readF32("bf16")).toEqual(numbers.map((x) => (x === 65504 ? 65536 : x)));
    expect(await checkpoint.readF32("scalar")).toEqual(Float32Array.of(7));
    expect((await failure(checkpoint.readF32("i64"))).message).toContain(
      "tensor i64 is I64; supported: BF16, F16, F32",
    );
    expect(weightDtype(checkpoint.entry("f16"))).toBe("F16");
    await checkpoint.close();
    await expect(checkpoint.read("f32")).rejects.toThrow("is closed");
  });

  test("missing, or of another shape", async () => {
    const checkpoint = await open();
    expect(checkpoint.has("f32")).toBe(true);
    expect(checkpoint.has("f64")).toBe(false);
    expect(checkpoint.expectTensor("f32", [2, 3])).toBe(checkpoint.entry("f32"));
    const file = join(checkpoint.folder, "model.safetensors");
    for (const shape of [[3, 2], [2, 3, 1], [6], []]) {
      expect(() => checkpoint.expectTensor("f32", shape)).toThrow(
        `${file}: tensor f32 has shape [2, 3], config.json calls for [${shape.join(", ")}]`,
      );
    }
    expect(() => checkpoint.expectTensor("f64", [2])).toThrow(`${file}: tensor f64 is missing`);
    await checkpoint.close();
  });

  test("of an unknown dtype are refused when they are asked for, not before", async () => {
    const folder = await folderOf({ "config.json": config });
    const header = JSON.stringify({ x: { dtype: "F8_E9M9", shape: [3], data_offsets: [0, 3] } });
    const length = new Uint8Array(new BigUint64Array([BigInt(header.length)]).buffer);
    writeFileSync(join(folder, "model.safetensors"), Buffer.concat([length, Buffer.from(`${header}abc`)]));
    const checkpoint = await openCheckpoint(folder);
    expect(checkpoint.has("x")).toBe(true);
    const error = await failure(checkpoint.read("x"));
    expect(error.code).toBe("unsupported_model");
    expect(error.message).toContain("tensor x has the unknown dtype F8_E9M9");
    await checkpoint.close();
  });
});

describe("streams", () => {
  const [N, K] = [257, 13];
  const open = async () =>
    openCheckpoint(
      await folderOf({
        "config.json": config,
        "model.safetensors": [
          f32("matrix", N, K),
          f32("cube", 3, 5, K),
          f32("vector", 41),
          f32("scalar"),
          f32("none", 4, 0),
        ],
      }),
    );

  test.each<[string, string, [number, number] | undefined, number, number]>([
    ["all rows in one chunk", "matrix", undefined, maxChunkBytes, K],
    ["chunks of 7 rows", "matrix", undefined, 7 * K * 4 + 51, K],
    ["chunks of one row", "matrix", undefined, K * 4, K],
    ["a range", "matrix", [100, 231], 16 * K * 4, K],
    ["the last row", "matrix", [N - 1, N], 4096, K],
    ["no row", "matrix", [5, 5], 4096, K],
    ["three dimensions", "cube", [2, 14], 4 * K * 4, K],
    ["a vector", "vector", [3, 40], 16, 1],
    ["a scalar", "scalar", undefined, 4, 1],
    ["a tensor of nothing", "none", undefined, 4096, 1],
  ])("%s", async (_, name, rows, chunkBytes, columns) => {
    const checkpoint = await open();
    const all = await checkpoint.readF32(name);
    const [from, to] = rows ?? [0, all.length / columns];
    const got: number[] = [];
    let next = from;
    await checkpoint.stream(name, rows ? { rows, chunkBytes } : { chunkBytes }, async (chunk, firstRow) => {
      expect(firstRow).toBe(next);
      expect(chunk.byteLength % (columns * 4)).toBe(0);
      expect(chunk.byteLength).toBeLessThanOrEqual(chunkBytes);
      expect(chunk.byteLength).toBe(
        4 * columns * Math.min(Math.floor(chunkBytes / (4 * columns)), to - next),
      );
      await new Promise((resolve) => setImmediate(resolve)); // a sink that takes its time still owns its chunk
      got.push(...new Float32Array(chunk.slice().buffer));
      next += chunk.byteLength / (columns * 4);
    });
    expect(next).toBe(to);
    expect(Float32Array.from(got)).toEqual(all.slice(from * columns, to * columns));
    await checkpoint.close();
  });

  test("use two buffers, again and again", async () => {
    const checkpoint = await open();
    const buffers = new Set<ArrayBuffer>();
    for (const name of ["matrix", "cube", "matrix"]) {
      await checkpoint.stream(name, { chunkBytes: 2 * K * 4 }, (chunk) => void buffers.add(chunk.buffer));
    }
    expect(buffers.size).toBe(2);
    await checkpoint.close();
  });

  test("read the next chunk while the sink works on this one", async () => {
    const checkpoint = await open();
    const copies: number[] = [];
    let other: Uint8Array | undefined;
    await checkpoint.stream("matrix", { rows: [0, 4], chunkBytes: K * 4 }, async (chunk, row) => {
      if (row === 0) return;
      other ??= chunk; // row 1's buffer, which row 3 will use
      if (row !== 2) return;
      for (let i = 0; i < 1000 && copies[0] !== 3 * K; i++) {
        await new Promise((resolve) => setTimeout(resolve, 1));
        copies[0] = (new Float32Array(other.slice().buffer)[0]! + 3) * 4;
      }
    });
    expect(copies).toEqual([3 * K]);
    await checkpoint.close();
  });

  test("beside one another do not share buffers", async () => {
    const checkpoint = await open();
    const sums = await Promise.all(
      ["matrix", "cube", "matrix"].map(async (name) => {
        let sum = 0;
        await checkpoint.stream(name, { chunkBytes: K * 4 }, async (chunk) => {
          await new Promise((resolve) => setImmediate(resolve));
          sum = new Float32Array(chunk.slice().buffer).reduce((a, b) => a + b, sum);
        });
        const all = await checkpoint.readF32(name);
        return [sum, all.reduce((a, b) => a + b, 0)];
      }),
    );
    for (const [got, want] of sums) expect(got).toBe(want);
    await checkpoint.close();
  });

  test("end with the sink's error, and nothing is read after it", async () => {
    const checkpoint = await open();
    let calls = 0;
    const failing = checkpoint.stream("matrix", { chunkBytes: K * 4 }, () => {
      calls++;
      throw new Error("the sink is full");
    });
    await expect(failing).rejects.toThrow("the sink is full");
    expect(calls).toBe(1);
    await checkpoint.close();
    expect(openFiles()).toEqual([]);
  });

  test("leave no read behind that could write into a buffer of the next stream", async () => {
    let reads = 0;
    let arrive: () => void = () => expect.fail("nothing was read ahead");
    const late = new Promise<void>((resolve) => (arrive = resolve));
    const entry = { name: "a", dtype: "F32", shape: [3, 2], file: "fake", offset: 0, bytes: 24 };
    const read = () => (reads++ === 0 ? Promise.resolve() : late);
    const close = () => Promise.resolve();
    const file = {
      path: "fake",
      tensors: new Map([["a", entry]]),
      metadata: {},
      read,
      readInto: read,
      close,
    };
    const wanted = { format: "safetensors" as const, quant: undefined };
    const settings = { ...wanted, folder: "", configFile: "", config, generationConfig: undefined };
    const checkpoint = new Checkpoint(settings, [file], new Map([["a", { entry, file }]]));
    let settled = false;
    const failing = checkpoint
      .stream("a", { chunkBytes: 8 }, () => {
        throw new Error("the sink is full");
      })
      .finally(() => (settled = true));
    const failed = expect(failing).rejects.toThrow("the sink is full");
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect([reads, settled]).toEqual([2, false]);
    arrive();
    await failed;
  });

  test("refuse rows that are not there and chunks too large", async () => {
    const checkpoint = await open();
    const never = () => expect.fail("the sink was called");
    await expect(checkpoint.stream("matrix", { rows: [0, N + 1] }, never)).rejects.toThrow(
      `rows 0 to ${N + 1} of ${N}`,
    );
    await expect(checkpoint.stream("matrix", { rows: [4, 3] }, never)).rejects.toThrow("rows 4 to 3");
    await expect(checkpoint.stream("matrix", { chunkBytes: maxChunkBytes + 1 }, never)).rejects.toThrow(
      "at most",
    );
    await expect(checkpoint.stream("matrix", { chunkBytes: 0 }, never)).rejects.toThrow("chunks of 0 bytes");
    await checkpoint.close();
  });

  test("refuse rows too wide for a chunk", async () => {
    const tensors = [f32("wide", 2, maxChunkBytes / 4 + 1)];
    const checkpoint = await openCheckpoint(
      await folderOf({ "config.json": config, "model.safetensors": tensors }),
    );
    const error = await failure(checkpoint.stream("wide", {}, () => expect.fail("the sink was called")));
    expect(error.message).toContain(`tensor wide has rows of ${maxChunkBytes + 4} bytes`);
    await checkpoint.close();
  });
});

describe("the fixtures", () => {
  test.each([...referenceFolders(), demoModel])("%s opens", async (folder) => {
    const checkpoint = await openCheckpoint(folder);
    expect(checkpoint.config["model_type"]).toBeTypeOf("string");
    expect(checkpoint.generationConfig?.["eos_token_id"]).toBeDefined();
    const sizes = readdirSync(folder).filter((name) => /^model.*\.safetensors$/.test(name));
    const onDisk = sizes.reduce((sum, name) => sum + readFileSync(join(folder, name)).length, 0);
    expect(checkpoint.totalBytes).toBeLessThan(onDisk);
    expect(checkpoint.totalBytes).toBeGreaterThan(0.95 * onDisk);
    await checkpoint.close();
  });

  test("the sharded one has the tensors of both shards", async () => {
    const folder = referenceFolders().find((path) => basename(path) === "qwen2-tiny-sharded")!;
    const checkpoint = await openCheckpoint(folder);
    const files = new Set(checkpoint.names.map((name) => basename(checkpoint.entry(name).file)));
    expect(files.size).toBe(2);
    const listed = readFileSync(join(folder, "tensors.txt"), "utf8").trim().split("\n");
    expect(checkpoint.names).toHaveLength(listed.length);
    await checkpoint.close();
  });
});
