// The ways of a question are held against the guess on the device itself before one of them is taken.
import { afterEach, expect, test as anywhere, vi } from "vitest";
import { asCard } from "../../test-fixtures/dense.ts";
import { testGpu } from "../../test-fixtures/gpu.ts";
import { withMatrices } from "../../test-fixtures/matrices.ts";
import type { Gpu } from "../gpu/adapter.ts";
import { isSwiftshader } from "../gpu/list.ts";
import { Tuning, type Answers, type Question } from "../gpu/tuning.ts";
import { tune } from "./tune.ts";

vi.setConfig({ testTimeout: 240_000 }); // a software adapter compiles for seconds, on a busy machine for minutes

const device = await testGpu();
/** A run is as long as a card needs; SwiftShader takes minutes for a few of them. */
const test = anywhere.skipIf(isSwiftshader(device.report.name));
afterEach(() => vi.restoreAllMocks());

/** Measures one question whose ways these are; → what was found, and what was told of them. */
async function tuned(gpu: Gpu, question: Question, ways: readonly string[]) {
  const told: string[] = [];
  vi.spyOn(console, "error").mockImplementation((line: string) => void told.push(line));
  let found: Answers = {};
  const tuning = new Tuning({ autotune: true }, { save: (answers) => (found = answers) });
  tuning.choose(
    question,
    ways.map((name) => ({ name })),
  );
  await tune({ ...gpu, tuning }, 1e9); // however busy the machine is
  return { told, found: Object.values(found) };
}

/** A driver that compiles some kernels to something else. */
function miscompiling(from: string, to: string, where: string): void {
  const create = device.device.createShaderModule.bind(device.device);
  vi.spyOn(device.device, "createShaderModule").mockImplementation((asked) => {
    const code = asked.code.includes(where) ? asked.code.replace(from, to) : asked.code;
    if (asked.code.includes(where) && code === asked.code) throw new Error(`no ${from} in ${where}`);
    return create({ ...asked, code });
  });
}

const product = { kernel: "matmul", K: 64, N: 72, T: 40 } as const;

test("what a driver gets wrong is not taken, and told", async () => {
  miscompiling("fma(vec4f(xv.y), w, sums[at + QUADS])", "sums[at + QUADS]", "tiles/64.wgsl");
  const { told, found } = await tuned(asCard(device), { ...product, format: "bf16" }, [
    "tiles of 32",
    "tiles of 64",
  ]);
  expect(told).toEqual([expect.stringContaining('"tiles of 64" of matmul bf16 64x72 40 tokens')]);
  expect(found).toEqual(["tiles of 32"]);
});

test.each([
  [{ ...product, format: "f32" }, ["tiles of 64", "tiles of 32"]],
  [{ ...product, K: 512, format: "q8_0" }, ["tiles of 32", "tiles of 32, 2 splits", "bytes, tiles of 32"]],
  [{ ...product, K: 256, format: "q4_k" }, ["tiles of 32", "bytes, tiles of 64"]],
  [{ kernel: "matvec normed", format: "q6_k", K: 512, N: 72, T: 1 }, ["32 lanes, 1", "64 lanes, 2"]],
  [
    { kernel: "attention split", format: "q8_0", heads: 4, kvHeads: 2, headDim: 64, keys: 300, T: 1 },
    ["4 splits", "5 splits"],
  ],
] satisfies [Question, string[]][])("%o is computed alike by %o", async (question, ways) => {
  const { told, found } = await tuned(asCard(device), question, ways);
  expect(told).toEqual([]);
  expect(found).toHaveLength(1);
});

test("matrices that cannot be compiled are no way", async () => {
  const gpu = withMatrices(device, "16x16x16");
  const { told, found } = await tuned(gpu, { ...product, format: "bf16" }, [
    "tiles of 32",
    "matrices 16x16x16",
  ]);
  expect({ told, found }).toEqual({ told: [], found: ["tiles of 32"] });
});
