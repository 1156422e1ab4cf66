// Host memory must not grow with the checkpoint: 4 GiB are streamed in a process of their own, which says how far
// it grew. The file is sparse (a few real bytes at the ends of the tensors), so it costs neither disk nor time.
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import ts from "typescript";
import { afterAll, beforeAll, expect, test } from "vitest";
import { packageRoot } from "../root.ts";
import { tensorBytes } from "./header.ts";
import { encodeHeader, type TensorSpec } from "./write.ts";

const MiB = 2 ** 20;
const limit = 200 * MiB;

const tensors: TensorSpec[] = [
  { name: "embed", dtype: "BF16", shape: [151_936, 5120] },
  { name: "head", dtype: "F32", shape: [151_937, 3072] },
  { name: "middle", dtype: "F16", shape: [40_961, 4099] },
  { name: "vector", dtype: "F32", shape: [5121] },
  { name: "scale", dtype: "F32", shape: [] },
  { name: "experts", dtype: "BF16", shape: [9, 6000, 5003] },
];
const totalBytes = tensors.reduce((sum, { dtype, shape }) => sum + tensorBytes(dtype, shape)!, 0);

let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "flat-memory-"));
  await writeSparse(folder);
  transpile(folder);
});

afterAll(() => rmSync(folder, { recursive: true }));

test("4 GiB are streamed in less than 200 MiB", { timeout: 120_000 }, async () => {
  expect(totalBytes).toBeGreaterThan(4 * 2 ** 30);
  const { grown, bytes, ends } = await run("stream");
  expect(bytes).toBe(totalBytes);
  expect(ends).toEqual(Object.fromEntries(tensors.map(({ name }, i) => [name, marks(i)])));
  expect(grown).toBeLessThan(limit);
});

test("reading in one piece would be seen", { timeout: 60_000 }, async () => {
  const { grown, bytes } = await run("whole", "middle");
  expect(bytes).toBe(tensorBytes("F16", [40_961, 4099]));
  expect(grown).toBeGreaterThan(limit);
});

interface Report {
  grown: number;
  bytes: number;
  ends: Record<string, [number, number]>;
}

async function run(...args: string[]): Promise<Report> {
  const script = join(folder, "test-fixtures", "streamAll.js");
  const { stdout } = await promisify(execFile)(process.execPath, [script, folder, ...args]);
  return JSON.parse(stdout) as Report;
}

/** The first and last byte of tensor i; a scalar's are those of 4 bytes, so they differ as well. */
function marks(i: number): [number, number] {
  return [2 * i + 1, 2 * i + 2];
}

/** A model folder whose weights are zeros that are not on the disk, but for the marks. */
async function writeSparse(at: string): Promise<void> {
  writeFileSync(join(at, "config.json"), "{}");
  const file = await open(join(at, "model.safetensors"), "w");
  const header = encodeHeader(tensors);
  await file.write(header, 0, header.length, 0);
  await file.truncate(header.length + totalBytes);
  let end = header.length;
  for (const [i, { dtype, shape }] of tensors.entries()) {
    const [first, last] = marks(i);
    const begin = end;
    end += tensorBytes(dtype, shape)!;
    await file.write(Uint8Array.of(first), 0, 1, begin);
    await file.write(Uint8Array.of(last), 0, 1, end - 1);
  }
  await file.close();
}

/** The reader as JavaScript, which the child process can run without a build. */
function transpile(to: string): void {
  const formats = readdirSync(join(packageRoot, "engine", "formats"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts") && !name.endsWith(".test.ts"))
    .map((name) => join("engine", "formats", name));
  writeFileSync(join(to, "package.json"), '{"type":"module"}');
  for (const path of [...formats, join("engine", "errors.ts"), join("test-fixtures", "streamAll.ts")]) {
    const { outputText } = ts.transpileModule(readFileSync(join(packageRoot, path), "utf8"), {
      compilerOptions: {
        target: ts.ScriptTarget.ES2023,
        module: ts.ModuleKind.ESNext,
        rewriteRelativeImportExtensions: true,
      },
    });
    const out = join(to, path.replace(/\.ts$/, ".js"));
    mkdirSync(dirname(out), { recursive: true });
    writeFileSync(out, outputText);
  }
}
