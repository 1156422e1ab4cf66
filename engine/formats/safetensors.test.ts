import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { demoModel, referenceFolders } from "../../test-fixtures/golden.ts";
import { EngineError } from "../errors.ts";
import { duplicateKey, dtypeBits, type Dtype } from "./header.ts";
import { openSafetensors } from "./safetensors.ts";
import { encodeHeader, writeSafetensors, type TensorSource } from "./write.ts";

/** The npm package, an independent reader: it wants the whole file, and no __metadata__. */
const { SafeTensor } = createRequire(import.meta.url)("safetensors") as {
  SafeTensor: new (bytes: Uint8Array) => {
    metadata: Map<string, { dtype: string; shape: number[]; data_offsets: [number, number] }>;
    getTensor(name: string): Uint8Array;
  };
};

const folder = mkdtempSync(join(tmpdir(), "safetensors-"));
afterAll(() => rmSync(folder, { recursive: true }));

let count = 0;
const newPath = () => join(folder, `${count++}.safetensors`);

/** A file of this header (text or value) and so many bytes of data. */
function fileOf(header: unknown, dataBytes: number, headerLength?: bigint): string {
  const json = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(headerLength ?? BigInt(json.length));
  const path = newPath();
  writeFileSync(path, Buffer.concat([length, json, Buffer.alloc(dataBytes, 7)]));
  return path;
}

/** Files of ours that this process has open (Linux tells; elsewhere nothing is counted). */
function openFiles(): string[] {
  if (process.platform !== "linux") return [];
  return readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      const target = readlinkSync(`/proc/self/fd/${fd}`);
      return target.startsWith(folder) ? [target] : [];
    } catch {
      return []; // the descriptor that listed the folder is gone
    }
  });
}

async function failure(path: string): Promise<EngineError> {
  const error: unknown = await openSafetensors(path).then(
    () => new Error("nothing was refused"),
    (reason: unknown) => reason,
  );
  if (error instanceof EngineError) return error;
  throw error;
}

const bytesOf = (length: number, from: number) =>
  Uint8Array.from({ length }, (_, i) => (from + 31 * i) % 256);

const sources: TensorSource[] = [
  { name: "odd", dtype: "U8", shape: [5], data: bytesOf(5, 1) },
  { name: 'naïve "quoted" 名', dtype: "BF16", shape: [3, 7], data: bytesOf(42, 2) },
  { name: "scalar", dtype: "F32", shape: [], data: Float32Array.of(1.5) },
  { name: "empty", dtype: "F32", shape: [4, 0], data: new Uint8Array(0) },
  { name: "__proto__", dtype: "I64", shape: [2], data: BigInt64Array.of(-1n, 2n ** 53n) },
  {
    name: "in pieces",
    dtype: "F16",
    shape: [2, 3, 5],
    *data() {
      yield bytesOf(7, 3);
      yield new Uint16Array(0);
      yield bytesOf(53, 3 + 31 * 7);
    },
  },
];

describe("what we write", () => {
  test("is read by the npm package, name by name and byte by byte", async () => {
    const path = newPath();
    await writeSafetensors(path, sources);
    const theirs = new SafeTensor(new Uint8Array(readFileSync(path)));
    expect([...theirs.metadata.keys()].sort()).toEqual(sources.map(({ name }) => name).sort());
    const ours = await openSafetensors(path);
    for (const [name, { dtype, shape }] of theirs.metadata) {
      const entry = ours.tensors.get(name)!;
      expect(entry).toMatchObject({ name, dtype, shape, file: path });
      const read = new Uint8Array(entry.bytes);
      await ours.read(entry, 0, read);
      expect(Buffer.from(theirs.getTensor(name)).equals(read), name).toBe(true);
      expect(entry.offset % (dtypeBits[dtype as Dtype] / 8), `${name} is aligned`).toBe(0);
    }
    await ours.close();
  });

  test("holds what was given", async () => {
    const path = newPath();
    await writeSafetensors(path, sources, { format: "pt" });
    const file = await openSafetensors(path);
    expect(file.metadata).toEqual({ format: "pt" });
    const read = async (name: string) => {
      const entry = file.tensors.get(name)!;
      const into = new Uint8Array(entry.bytes);
      await file.read(entry, 0, into);
      return into;
    };
    expect(new Float32Array((await read("scalar")).buffer)).toEqual(Float32Array.of(1.5));
    expect(new BigInt64Array((await read("__proto__")).buffer)).toEqual(BigInt64Array.of(-1n, 2n ** 53n));
    expect(await read("in pieces")).toEqual(bytesOf(60, 3));
    expect(await read("empty")).toHaveLength(0);
    await file.close();
  });

  test("a source of the wrong length leaves no file", async () => {
    const path = newPath();
    const short = { name: "short", dtype: "F32", shape: [3], data: new Uint8Array(11) } as const;
    await expect(writeSafetensors(path, [short])).rejects.toThrow("short: 11 bytes written, 12 expected");
    expect(() => readFileSync(path)).toThrow("ENOENT");
    expect(openFiles()).toEqual([]);
    expect(() => encodeHeader([short, short])).toThrow("short is taken");
    expect(() => encodeHeader([{ name: "x", dtype: "F4", shape: [3] }])).toThrow("no whole number");
  });
});

describe("files of others", () => {
  const weights = [...referenceFolders(), demoModel].flatMap((at) =>
    readdirSync(at)
      .filter((name) => name.endsWith(".safetensors"))
      .map((name) => join(at, name)),
  );

  test.each(weights)("%s is read as the npm package reads it", async (path) => {
    const theirs = new SafeTensor(withoutMetadata(new Uint8Array(readFileSync(path))));
    const ours = await openSafetensors(path);
    try {
      expect([...ours.tensors.keys()].sort()).toEqual([...theirs.metadata.keys()].sort());
      for (const [name, { dtype, shape }] of theirs.metadata) {
        const entry = ours.tensors.get(name)!;
        expect(entry).toMatchObject({ dtype, shape });
        const read = new Uint8Array(entry.bytes);
        await ours.read(entry, 0, read);
        expect(Buffer.from(theirs.getTensor(name)).equals(read), name).toBe(true);
      }
    } finally {
      await ours.close();
    }
  });

  /** The same file with __metadata__ blanked out, the header's length kept. */
  function withoutMetadata(bytes: Uint8Array): Uint8Array {
    const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
    const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length))) as Record<
      string,
      unknown
    >;
    delete header["__metadata__"];
    bytes.set(Buffer.from(JSON.stringify(header).padEnd(length)), 8);
    return bytes;
  }
});

describe("reading", () => {
  test("any range, and not beyond the tensor", async () => {
    const path = newPath();
    await writeSafetensors(path, sources);
    const file = await openSafetensors(path);
    const entry = file.tensors.get("in pieces")!;
    const into = new Uint8Array(9);
    await file.read(entry, 51, into);
    expect(into).toEqual(bytesOf(60, 3).subarray(51));
    const places = [5, 1, 7].map((length) => new Uint8Array(length));
    await file.readInto(entry, 40, places);
    expect(places).toEqual(
      [
        [40, 45],
        [45, 46],
        [46, 53],
      ].map(([from, to]) => bytesOf(60, 3).subarray(from, to)),
    );
    await expect(file.readInto(entry, 48, places)).rejects.toThrow("bytes 48 to 61 of in pieces");
    await expect(file.read(entry, 52, into)).rejects.toThrow("bytes 52 to 61 of in pieces, which has 60");
    await file.close();
    await file.close();
    await expect(file.read(entry, 0, into)).rejects.toThrow("is closed");
    expect(openFiles()).toEqual([]);
  });

  test("a file that shrinks while it is open", async () => {
    const path = newPath();
    await writeSafetensors(path, sources);
    const file = await openSafetensors(path);
    const entry = file.tensors.get("in pieces")!;
    truncateSync(path, entry.offset + 10);
    const failure = {
      code: "bad_checkpoint",
      message: `${path}: ended at byte ${entry.offset + 10} while it was read: truncated`,
    };
    await expect(file.read(entry, 0, new Uint8Array(60))).rejects.toMatchObject(failure);
    const places = [4, 20, 36].map((length) => new Uint8Array(length));
    await expect(file.readInto(entry, 0, places)).rejects.toMatchObject(failure);
    expect(places[0]).toEqual(bytesOf(60, 3).subarray(0, 4));
    await file.close();
  });

  test("padding, empty headers and dtypes of the future are legal", async () => {
    const future = { x: { dtype: "F8_E9M9", shape: [2, 2], data_offsets: [0, 3] } };
    const padded = await openSafetensors(fileOf(`${JSON.stringify(future)}    `, 3));
    expect(padded.tensors.get("x")).toMatchObject({ dtype: "F8_E9M9", bytes: 3 });
    await padded.close();
    const empty = await openSafetensors(fileOf("{}", 0));
    expect(empty.tensors.size).toBe(0);
    await empty.close();
  });
});

describe("damaged files", () => {
  const f32 = (begin: unknown, end: unknown, shape: unknown = [2]) => ({
    dtype: "F32",
    shape,
    data_offsets: [begin, end],
  });
  const good = JSON.stringify({ a: f32(0, 8) });
  const notUtf8 = Buffer.concat([Buffer.from('{"a'), Buffer.of(0xff), Buffer.from('":{}}')]);

  test("the smallest good file, from which the bad ones differ", async () => {
    const file = await openSafetensors(fileOf(good, 8));
    await file.close();
  });

  test.each<[string, () => string, string]>([
    ["no file", () => join(folder, "absent"), "does not exist"],
    ["a folder", () => folder, "is not a file"],
    ["an empty file", () => raw(""), "0 bytes long"],
    ["seven bytes", () => raw("1234567"), "7 bytes long"],
    ["a Git LFS pointer", () => raw("version https://git-lfs.github.com/spec/v1\noid"), "Git LFS pointer"],
    ["a zip archive", () => raw("PK\x03\x04 and so on"), "not a safetensors file?"],
    ["a header beyond the file", () => fileOf(good, 0, 1000n), "claims a header of 1000 bytes"],
    ["a header beyond 100 MB", () => fileOf(good, 8, 100_000_001n), "100000001"],
    ["a header length above 2^53", () => fileOf(good, 8, 2n ** 64n - 1n), "18446744073709551615"],
    ["no header", () => fileOf("", 8), "does not begin with {"],
    ["a space before the header", () => fileOf(` ${good}`, 8), "does not begin with {"],
    ["a header that is no JSON", () => fileOf('{"a":', 8), "not JSON"],
    ["a header that is not UTF-8", () => rawHeader(notUtf8), "not UTF-8"],
    [
      "a name twice",
      () => fileOf(`{"a": ${JSON.stringify(f32(0, 8))}, "\\u0061": ${JSON.stringify(f32(0, 8))}}`, 8),
      '"a" twice',
    ],
    [
      "a key twice",
      () => fileOf('{"a":{"dtype":"F32","shape":[2],"shape":[2],"data_offsets":[0,8]}}', 8),
      '"shape" twice',
    ],
    [
      "metadata that is no object of strings",
      () => fileOf({ __metadata__: { n: 1 } }, 0),
      '__metadata__ that is not an object of strings: {"n":1}',
    ],
    ["an entry that is none", () => fileOf({ a: 5 }, 0), 'tensor "a" is 5'],
    ["an entry that is null", () => fileOf({ a: null }, 0), 'tensor "a" is null'],
    [
      "no dtype",
      () => fileOf({ a: { shape: [2], data_offsets: [0, 8] } }, 8),
      'tensor "a" has dtype missing',
    ],
    ["a negative size", () => fileOf({ a: f32(0, 8, [-2]) }, 8), 'tensor "a" has shape [-2]'],
    ["a fraction as size", () => fileOf({ a: f32(0, 8, [0.5]) }, 8), "[0.5]"],
    ["a size as text", () => fileOf({ a: f32(0, 8, ["2"]) }, 8), '["2"]'],
    ["no shape", () => fileOf({ a: f32(0, 8, null) }, 8), "shape null"],
    ["three offsets", () => fileOf({ a: { ...f32(0, 8), data_offsets: [0, 4, 8] } }, 8), "[0,4,8]"],
    ["a negative offset", () => fileOf({ a: f32(-8, 0) }, 8), "[-8,0]"],
    [
      "an offset above 2^53",
      () => fileOf('{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,9007199254740993]}}', 8),
      "2^53",
    ],
    ["reversed offsets", () => fileOf({ a: f32(8, 0) }, 8), "in reverse: [8,0]"],
    [
      "offsets beyond the file",
      () => fileOf(good, 7),
      'tensor "a" ends at byte 8 of the data, of which there are 7',
    ],
    [
      "a shape too small",
      () => fileOf({ a: f32(0, 8, [1]) }, 8),
      'tensor "a" is F32 [1], which is not the 8 bytes',
    ],
    [
      "a shape too large for any number",
      () => fileOf({ a: f32(0, 8, [2 ** 53 - 1, 2 ** 53 - 1]) }, 8),
      "not the 8 bytes",
    ],
    ["half a byte", () => fileOf({ a: { dtype: "F4", shape: [3], data_offsets: [0, 1] } }, 1), "F4 [3]"],
    ["an overlap", () => fileOf({ a: f32(0, 8), b: f32(4, 12) }, 12), 'tensor "b" overlaps tensor "a"'],
    [
      "the same range twice",
      () => fileOf({ a: f32(0, 8), b: f32(0, 8) }, 8),
      'tensor "b" overlaps tensor "a"',
    ],
    [
      "a hole",
      () => fileOf({ a: f32(0, 8), b: f32(12, 20) }, 20),
      'hole of 4 bytes between tensor "a" and tensor "b"',
    ],
    [
      "a hole in front",
      () => fileOf({ a: f32(4, 12) }, 12),
      'hole of 4 bytes between the header and tensor "a"',
    ],
    ["a rest", () => fileOf(good, 9), '1 bytes after tensor "a" which belong to no tensor'],
    ["data without tensors", () => fileOf("{}", 3), "3 bytes after the header"],
  ])("%s", async (_, make, what) => {
    const path = make();
    const error = await failure(path);
    expect(error.code).toBe("bad_checkpoint");
    expect(error.message).toContain(what);
    expect(error.message.startsWith(`${path}: `)).toBe(true);
    expect(openFiles()).toEqual([]);
  });

  function raw(text: string): string {
    const path = newPath();
    writeFileSync(path, text, "latin1");
    return path;
  }

  function rawHeader(json: Buffer): string {
    const path = fileOf("x".repeat(json.length), 0);
    writeFileSync(path, Buffer.concat([readFileSync(path).subarray(0, 8), json]));
    return path;
  }
});

test("duplicateKey sees keys, not values, and every object for itself", () => {
  expect(duplicateKey('{"a":{"a":"a"},"b":["a","a",{"a":1}],"c":"\\"a\\":"}')).toBeUndefined();
  expect(duplicateKey('{"a":{"b":1},"c":{"d":1,"d" : 2}}')).toBe("d");
  expect(duplicateKey('{"a{":1,"b}":{},"a{":2}')).toBe("a{");
});
