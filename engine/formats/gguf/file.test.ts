import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gguf } from "@huggingface/gguf";
import { afterAll, describe, expect, test } from "vitest";
import { randomBlocks } from "../../../test-fixtures/blocks.ts";
import { EngineError } from "../../errors.ts";
import { blockFormats, blockTypes } from "../blocks/format.ts";
import { openGguf, openGgufParts, partsOf } from "./file.ts";
import { elementTypes } from "./types.ts";
import { encodeGgufHead, writeGguf, type GgufTensorSource, type TypedValue } from "./write.ts";

const folder = mkdtempSync(join(tmpdir(), "gguf-"));
afterAll(() => rmSync(folder, { recursive: true }));

let count = 0;
const newPath = () => join(folder, `${count++}.gguf`);

const bytesOf = (length: number, seed: number) =>
  Uint8Array.from({ length }, (_, i) => (i * 31 + seed) & 255);

const metadata: Record<string, TypedValue> = {
  "general.architecture": ["string", "qwen3"],
  "all.u8": ["u8", 255],
  "all.i8": ["i8", -128],
  "all.u16": ["u16", 65_535],
  "all.i16": ["i16", -32_768],
  "all.u32": ["u32", 4_294_967_295],
  "all.i32": ["i32", -2_147_483_648],
  "all.f32": ["f32", 0.15625],
  "all.f64": ["f64", 1e-300],
  "all.u64": ["u64", 2n ** 53n - 1n],
  "all.i64": ["i64", -(2n ** 53n) + 1n],
  "all.bool": ["bool", true],
  "all.no": ["bool", false],
  "all.string": ["string", "größe \u{1f600}\n"],
  "all.empty": ["string", ""],
  "array.u32": ["u32[]", [3, 1, 4]],
  "array.f32": ["f32[]", [0.5, -2]],
  "array.string": ["string[]", ["<|im_start|>", "", "Ġa"]],
  "array.bool": ["bool[]", [true, false]],
  "array.none": ["i32[]", []],
};

const plain = Object.fromEntries(
  Object.entries(metadata).map(([key, [, value]]) => [
    key,
    typeof value === "bigint" ? Number(value) : value,
  ]),
);

/** A tensor of every type that we compute with, and an odd one. */
const tensors: GgufTensorSource[] = [
  { name: "f32", dtype: "F32", shape: [3, 5], data: bytesOf(60, 1) },
  { name: "f16", dtype: "F16", shape: [2, 3, 7], data: bytesOf(84, 2) },
  { name: "bf16", dtype: "BF16", shape: [9], data: bytesOf(18, 3) },
  { name: "iq", dtype: "IQ4_XS", shape: [2, 256], data: bytesOf(272, 4) },
  ...blockTypes.map((type) => {
    const data = randomBlocks(type);
    return { name: type, dtype: type, shape: [8, 5 * blockFormats[type].values], data };
  }),
  {
    name: "pieces",
    dtype: "F32",
    shape: [2, 4],
    *data() {
      yield bytesOf(20, 5);
      yield bytesOf(12, 25);
    },
  },
];

function contentOf({ data }: GgufTensorSource): Buffer {
  const pieces = typeof data === "function" ? [...(data() as Iterable<ArrayBufferView>)] : [data];
  return Buffer.concat(pieces.map((p) => new Uint8Array(p.buffer, p.byteOffset, p.byteLength)));
}

describe.each([
  { version: 3, alignment: undefined },
  { version: 2, alignment: undefined },
  { version: 3, alignment: 8 },
  { version: 3, alignment: 4096 },
] as const)("version $version, alignment $alignment", ({ version, alignment }) => {
  const options = { version, ...(alignment ? { alignment } : {}) };

  test("what was written comes back", async () => {
    const path = newPath();
    await writeGguf(path, metadata, tensors, options);
    const file = await openGguf(path);
    try {
      const own = { ...plain, ...(alignment ? { "general.alignment": alignment } : {}) };
      expect(Object.fromEntries(file.metadata)).toEqual(own);
      expect(file.version).toBe(version);
      expect([...file.tensors.keys()]).toEqual(tensors.map(({ name }) => name));
      for (const tensor of tensors) {
        const entry = file.tensors.get(tensor.name)!;
        expect(entry).toMatchObject({ dtype: tensor.dtype, shape: tensor.shape, file: path });
        expect(entry.offset % (alignment ?? 32)).toBe(0);
        const read = new Uint8Array(entry.bytes);
        await file.read(entry, 0, read);
        expect(Buffer.from(read).equals(contentOf(tensor)), tensor.name).toBe(true);
      }
    } finally {
      await file.close();
    }
  });

  test("somebody else's reader agrees", async () => {
    const path = newPath();
    await writeGguf(path, metadata, tensors, options);
    const theirs = await gguf(path, { allowLocalFile: true });
    const ours = await openGguf(path);
    await ours.close();
    expect(theirs.metadata.version).toBe(version);
    for (const [key, value] of ours.metadata) {
      const other: unknown = (theirs.metadata as Record<string, unknown>)[key];
      expect(typeof other === "bigint" ? Number(other) : other, key).toEqual(value);
    }
    expect(theirs.tensorInfos.map(({ name }) => name)).toEqual([...ours.tensors.keys()]);
    for (const { name, shape, dtype, offset } of theirs.tensorInfos) {
      const entry = ours.tensors.get(name)!;
      expect(shape.map(Number).toReversed()).toEqual(entry.shape);
      expect(elementTypes.get(dtype)!.name).toBe(entry.dtype);
      expect(Number(offset) + Number(theirs.tensorDataOffset)).toBe(entry.offset);
    }
  });
});

describe("heads", () => {
  test("larger than the first read", async () => {
    const path = newPath();
    const tokens = Array.from({ length: 150_000 }, (_, i) => `token number ${i}`);
    await writeGguf(
      path,
      { ...metadata, "tokenizer.ggml.tokens": ["string[]", tokens] },
      tensors.slice(0, 1),
    );
    const file = await openGguf(path);
    await file.close();
    expect(file.metadata.get("tokenizer.ggml.tokens")).toEqual(tokens);
    expect(file.tensors.get("f32")!.offset).toBeGreaterThan(3 << 20);
  });

  test("integers beyond 2^53 stay exact", async () => {
    const path = newPath();
    await writeGguf(path, { a: ["u64", 2n ** 64n - 1n], b: ["i64", -(2n ** 63n)] }, []);
    const file = await openGguf(path);
    await file.close();
    expect(Object.fromEntries(file.metadata)).toEqual({ a: 2n ** 64n - 1n, b: -(2n ** 63n) });
  });

  test("arrays of arrays", async () => {
    const path = newPath();
    const nested: TypedValue = [
      "array",
      [
        ["u8[]", [1, 2]],
        ["array", [["string[]", ["x"]]]],
        ["i32[]", []],
      ],
    ];
    await writeGguf(path, { nested }, []);
    const file = await openGguf(path);
    await file.close();
    expect(file.metadata.get("nested")).toEqual([[1, 2], [["x"]], []]);
  });

  test("no tensor and no key", async () => {
    const path = newPath();
    await writeGguf(path, {}, []);
    const file = await openGguf(path);
    await file.close();
    expect([file.metadata.size, file.tensors.size]).toEqual([0, 0]);
  });

  test("an element type of the future is known by its number, and reaches to the next tensor", async () => {
    const path = newPath();
    await writeGguf(path, {}, tensors.slice(0, 2));
    const bytes = readFileSync(path);
    bytes.writeUInt32LE(77, bytes.indexOf("f32") + 3 + 4 + 16);
    writeFileSync(path, bytes);
    const file = await openGguf(path);
    await file.close();
    expect(file.tensors.get("f32")).toMatchObject({ dtype: "GGML type 77", bytes: 64 });
  });
});

describe("parts", () => {
  const part = (i: number, of: number) => {
    const split: Record<string, TypedValue> = {
      "split.no": ["u16", i],
      "split.count": ["u16", of],
      "split.tensors.count": ["i32", 3],
    };
    return i === 0 ? { ...metadata, ...split } : split;
  };
  const three = async (change: (name: string, i: number) => Record<string, TypedValue> = () => ({})) => {
    const stem = join(folder, `set${count++}`);
    const paths = partsOf(`${stem}-00001-of-00003.gguf`);
    for (const [i, path] of paths.entries()) {
      await writeGguf(path, { ...part(i, 3), ...change(path, i) }, tensors.slice(i, i + 1));
    }
    return paths;
  };

  test.each(["m-00000-of-00000.gguf", "m-00000-of-00002.gguf", "m-00003-of-00002.gguf"])(
    "%s is no part's name",
    (path) => expect(partsOf(path)).toEqual([path]),
  );

  test("any part leads to all of them", async () => {
    const paths = await three();
    for (const path of paths) {
      const files = await openGgufParts(path);
      expect(files.map((file) => file.path)).toEqual(paths);
      expect(files.flatMap((file) => [...file.tensors.keys()])).toEqual(["f32", "f16", "bf16"]);
      expect(files[0]!.metadata.get("general.architecture")).toBe("qwen3");
      await Promise.all(files.map((file) => file.close()));
    }
  });

  test.each<[string, () => Promise<string>, string]>([
    [
      "a part is missing",
      async () => {
        const paths = await three();
        rmSync(paths[1]!);
        return paths[0]!;
      },
      "-00002-of-00003.gguf: does not exist",
    ],
    [
      "a part of another set",
      async () => (await three((_, i) => (i === 2 ? { "split.count": ["u16", 4] } : {})))[0]!,
      "-00003-of-00003.gguf: metadata split.count is 4, and there are 3 parts",
    ],
    [
      "parts that changed places",
      async () => (await three((_, i) => (i === 1 ? { "split.no": ["u16", 2] } : {})))[0]!,
      "metadata split.no is 2, and it is part 1 counted from 0",
    ],
    [
      "a tensor too few",
      async () => (await three((_, i) => (i === 0 ? { "split.tensors.count": ["i32", 4] } : {})))[0]!,
      "metadata split.tensors.count is 4, and the parts hold 3 tensors",
    ],
    [
      "a part by another name",
      async () => {
        const path = newPath();
        await writeGguf(path, part(0, 2), []);
        return path;
      },
      "metadata split.count is 2, and there are 1 parts; its name must end in -00001-of-0000N.gguf",
    ],
  ])("%s", async (_, make, what) => {
    const error = await failure(openGgufParts(await make()));
    expect(error.code).toBe("bad_checkpoint");
    expect(error.message).toContain(what);
    expect(openFiles()).toEqual([]);
  });
});

test("a writer that fails leaves no file", async () => {
  const path = newPath();
  const short: GgufTensorSource = { name: "t", dtype: "F32", shape: [4], data: bytesOf(12, 1) };
  await expect(writeGguf(path, {}, [short])).rejects.toThrow("t: 12 bytes written, 16 expected");
  expect(readdirSync(folder)).not.toContain(path.split("/").at(-1));
  expect(() => encodeGgufHead({}, [{ name: "t", dtype: "Q4_K", shape: [2, 100] }])).toThrow("not whole Q4_K");
  expect(() => encodeGgufHead({}, [{ name: "t", dtype: "Q4_2", shape: [2] }])).toThrow(
    "no element type Q4_2",
  );
});

describe("damaged files", () => {
  const two: GgufTensorSource[] = [
    { name: "first", dtype: "F32", shape: [8], data: bytesOf(32, 1) },
    { name: "second", dtype: "Q8_0", shape: [2, 32], data: bytesOf(68, 2) },
  ];
  const head = () =>
    Buffer.from(encodeGgufHead({ "a.key": ["u32", 7], "a.list": ["string[]", ["x", "yy"]] }, two));
  const whole = () => Buffer.concat([head(), bytesOf(100, 3)]);
  const at = (bytes: Buffer, text: string) => bytes.indexOf(text) + text.length;

  /** The file after a change of its bytes. */
  const changed = (change: (bytes: Buffer) => unknown) => () => {
    const bytes = whole();
    const path = newPath();
    const made = change(bytes);
    writeFileSync(path, Buffer.isBuffer(made) ? made : bytes);
    return path;
  };
  const u64 = (place: (bytes: Buffer) => number, value: bigint) =>
    changed((bytes) => bytes.writeBigUInt64LE(value, place(bytes)));
  const u32 = (place: (bytes: Buffer) => number, value: number) =>
    changed((bytes) => bytes.writeUInt32LE(value, place(bytes)));
  /** With a rest of zeros, which take no room. */
  const enlarged = (make: () => string) => () => {
    const path = make();
    truncateSync(path, 2 ** 28);
    return path;
  };
  const text = (from: string, to: string) =>
    changed((bytes) => bytes.write(to, bytes.indexOf(from), "latin1"));

  test("the good file, from which the bad ones differ", async () => {
    const file = await openGguf(changed(() => undefined)());
    await file.close();
    expect(file.tensors.size).toBe(2);
  });

  test.each<[string, () => string, string]>([
    ["no file", () => join(folder, "absent.gguf"), "does not exist"],
    ["a folder", () => folder, "is not a file"],
    ["an empty file", changed(() => Buffer.alloc(0)), "is 0 bytes long: too short"],
    ["a header cut short", changed((bytes) => bytes.subarray(0, 20)), "is 20 bytes long: too short"],
    [
      "a Git LFS pointer",
      changed(() => Buffer.from("version https://git-lfs.github.com/spec/v1")),
      "Git LFS pointer",
    ],
    ["another format", changed(() => Buffer.from("PK\x03\x04 and then some more bytes")), "0x04034b50"],
    ["version 1", u32(() => 4, 1), "GGUF version 1; supported: 2 and 3"],
    ["version 4", u32(() => 4, 4), "GGUF version 4"],
    ["big-endian", u32(() => 4, 0x0300_0000), "big-endian"],
    ["more tensors than bytes", u64(() => 8, 1000n), "claims 1000 tensors"],
    ["tensors beyond 2^53", u64(() => 8, 2n ** 63n), "claims 9223372036854775808 tensors"],
    ["more keys than bytes", u64(() => 16, 10n ** 9n), "claims 1000000000 metadata keys"],
    ["a key longer than the file", u64(() => 24, 5000n), "claims 5000 bytes for metadata key 0"],
    ["a key without a name", u64(() => 24, 0n), "has metadata key 0 that is empty"],
    ["a key that is not UTF-8", text("a.key", "a.\xffey"), "has metadata key 0 that is not UTF-8"],
    [
      "a key twice",
      changed(() => {
        const same = { "a.k1": ["u32", 1], "a.k2": ["u32", 1] } as const;
        const bytes = Buffer.from(encodeGgufHead(same, []));
        bytes.write("a.k1", bytes.indexOf("a.k2"));
        return bytes;
      }),
      'has the metadata key "a.k1" twice',
    ],
    [
      "a value type of the future",
      u32((b) => at(b, "a.key"), 13),
      "metadata a.key has the unknown value type 13",
    ],
    [
      "an array type of the future",
      u32((b) => at(b, "a.list") + 4, 200),
      "metadata a.list has the unknown value type 200",
    ],
    [
      "an endless array",
      u64((b) => at(b, "a.list") + 8, 2n ** 40n),
      "claims 1099511627776 values in metadata a.list",
    ],
    ["an endless string", u64((b) => at(b, "a.list") + 16, 2n ** 62n), "bytes for metadata a.list"],
    [
      "a long string in a long file",
      enlarged(u64((b) => at(b, "a.list") + 16, 2n ** 27n)),
      "has a head of more than 100000000 bytes",
    ],
    [
      "a long array in a long file",
      enlarged(u64((b) => at(b, "a.list") + 8, 2n ** 24n + 1n)),
      "has 16777217 values in its metadata, up to metadata a.list: damaged; at most 16777216",
    ],
    [
      "arrays without end",
      changed(() => {
        const deep = Array.from({ length: 6 }).reduce<TypedValue>(
          (inner) => ["array", [inner]],
          ["u8[]", [1]],
        );
        return Buffer.from(encodeGgufHead({ deep }, []));
      }),
      "metadata deep has arrays more than 4 deep",
    ],
    [
      "a boolean that is none",
      changed(() => {
        const bytes = Buffer.from(encodeGgufHead({ flag: ["bool", true] }, []));
        bytes[at(bytes, "flag") + 4] = 2;
        return bytes;
      }),
      "metadata flag is the boolean 2",
    ],
    [
      "an alignment of 3",
      changed(() => Buffer.from(encodeGgufHead({ "general.alignment": ["u32", 3] }, []))),
      "is 3",
    ],
    [
      "an alignment as text",
      changed(() => Buffer.from(encodeGgufHead({ "general.alignment": ["string", "32"] }, []))),
      "metadata general.alignment is 32: a multiple of 8",
    ],
    [
      "a head cut short",
      changed((bytes) => bytes.subarray(0, at(bytes, "second") + 3)),
      'ends within tensor "second"',
    ],
    [
      "a tensor twice",
      changed(() => {
        const bytes = Buffer.from(encodeGgufHead({}, [two[0]!, { ...two[0]!, name: "fir5t" }]));
        bytes.write("first", bytes.indexOf("fir5t"));
        return Buffer.concat([bytes, bytesOf(64, 1)]);
      }),
      'has tensor "first" twice',
    ],
    ["no dimension too many", u32((b) => at(b, "second"), 5), 'tensor "second" has 5 dimensions; at most 4'],
    [
      "a dimension beyond everything",
      u64((b) => at(b, "first") + 4, 2n ** 60n),
      'tensor "first" has shape [1152921504606846976], of more than 2^53 values',
    ],
    [
      "rows that are not whole blocks",
      u64((b) => at(b, "second") + 4, 33n),
      'tensor "second" is Q8_0 [2, 33]: rows are not whole blocks of 32',
    ],
    [
      "a tensor beyond the file",
      u64((b) => at(b, "second") + 12, 3n),
      'tensor "second" ends at byte 134 of the data, of which there are 100',
    ],
    [
      "an offset beyond the file",
      u64((b) => at(b, "second") + 24, 3200n),
      'tensor "second" begins at byte 3200 of the data, of which there are 100',
    ],
    [
      "an offset beyond 2^53",
      u64((b) => at(b, "second") + 24, 2n ** 63n),
      "begins at byte 9223372036854775808 of the data",
    ],
    [
      "an offset that is not aligned",
      u64((b) => at(b, "second") + 24, 33n),
      'tensor "second" begins at byte 33, not aligned to 32',
    ],
    ["an overlap", u64((b) => at(b, "second") + 24, 0n), 'tensor "second" overlaps tensor "first"'],
    [
      "data cut short",
      changed((bytes) => bytes.subarray(0, -1)),
      "of the data, of which there are 99: truncated",
    ],
    ["no data", changed(() => head()), "of the data, of which there are 0: truncated"],
  ])("%s", async (_, make, what) => {
    const path = make();
    const error = await failure(openGguf(path));
    expect(error.code).toBe("bad_checkpoint");
    expect(error.message).toContain(what);
    expect(error.message.startsWith(`${path}: `)).toBe(true);
    expect(openFiles()).toEqual([]);
  });

  test("cut anywhere: never anything but bad_checkpoint", async () => {
    const bytes = whole();
    const path = newPath();
    for (let length = 0; length < bytes.length; length++) {
      writeFileSync(path, bytes.subarray(0, length));
      expect((await failure(openGguf(path))).code).toBe("bad_checkpoint");
    }
  });

  test("any byte changed: bad_checkpoint, or a file that can be read", async () => {
    const good = whole();
    const path = newPath();
    for (let at = 0; at < head().length; at++) {
      const bytes = Buffer.from(good);
      bytes[at]! ^= 0x81;
      writeFileSync(path, bytes);
      const opened = await openGguf(path).catch((error: unknown) => error);
      if (opened instanceof EngineError) expect(opened.code).toBe("bad_checkpoint");
      else {
        const file = opened as Awaited<ReturnType<typeof openGguf>>;
        for (const entry of file.tensors.values()) await file.read(entry, 0, new Uint8Array(entry.bytes));
        await file.close();
      }
    }
  });

  test("a file that shrinks while it is open", async () => {
    const path = changed(() => undefined)();
    const file = await openGguf(path);
    const entry = file.tensors.get("second")!;
    truncateSync(path, entry.offset + 10);
    await expect(file.read(entry, 0, new Uint8Array(68))).rejects.toThrow("truncated");
    await file.close();
  });
});

async function failure(promise: Promise<unknown>): Promise<EngineError> {
  const error: unknown = await promise.then(
    () => new Error("nothing was refused"),
    (reason: unknown) => reason,
  );
  if (error instanceof EngineError) return error;
  throw error;
}

function openFiles(): string[] {
  if (process.platform !== "linux") return [];
  return readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)].filter((target) => target.startsWith(folder));
    } catch {
      return []; // the descriptor that listed the folder is gone
    }
  });
}
