// `neuron plan`, on Dawn's null backend.
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { MemoryPlan } from "../engine/serve/types.ts";
import { packageRoot } from "../engine/root.ts";
import { neuron } from "./command.fixture.ts";

const tiny = "test-fixtures/reference/qwen2-tiny-sharded"; // two heads, three layers

const plan = (args: string, env: NodeJS.ProcessEnv = {}) =>
  neuron(["plan", "--adapter", "null", ...args.split(" ")], env);

test("a table for people", async () => {
  const { code, out } = await plan("--model demo --context 700 --max-in-flight 3");
  expect(code).toBe(0);
  const lines = out.trimEnd().split("\n");
  expect(lines[0]).toBe("memory of demo: a context of 700 tokens, 3 sequences at once");
  expect(lines.slice(1).map((line) => line.trim().split(/ {2,}/)[0])).toEqual([
    ...["weights", "KV cache", "states", "snapshots", "tables", "scratch", "pictures", "staging", "total"],
  ]);
});

test("JSON for machines, and what the flags change in it", async () => {
  const read = async (args: string): Promise<MemoryPlan> => JSON.parse((await plan(args)).out) as MemoryPlan;
  const one = await read("--model demo --context 640 --max-in-flight 1 --json");
  const two = await read("--model demo --context 640 --max-in-flight 2 --json");
  const small = await read("--model demo --context 640 --max-in-flight 1 --quant q4_0 --json");
  expect(one).toMatchObject({ contextLength: 640, slots: 1, pages: 10 });
  expect(two).toMatchObject({ contextLength: 640, slots: 2, pages: 20 });
  expect(one.parts.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(one.totalBytes);
  const weights = ({ parts }: MemoryPlan) => parts.find(({ what }) => what === "weights")!.bytes;
  expect(weights(small)).toBeLessThan(0.7 * weights(one));
});

test.each([
  ["--device 0,0", "every layer is shared, unless a load finds dividing them quicker"],
  ["--device 0,0 --tensor-parallel 2", "every layer is shared: as asked"],
  ["--device 0,0 --pipeline-parallel 2", "layers are divided: as asked"],
])("%s: what each device takes, and why so", async (args, why) => {
  const { code, out } = await plan(`--model demo --context 700 ${args}`);
  expect(code).toBe(0);
  expect(out).toContain(`demo: ${why}`);
  const heads = out.split("\n").filter((line) => line.startsWith("memory of demo"));
  expect(heads).toEqual(
    heads.map((_, i) => `memory of demo, rank ${i}: a context of 700 tokens, 4 sequences at once`),
  );
  expect(heads.length).toBe(args.split(",").length);
});

test("where heads are fewer than devices, layers are divided", async () => {
  const { out } = await plan(`--device 0,0,0 --model ${join(packageRoot, tiny)}`);
  expect(out).toMatch(/: layers are divided: .*2 cannot be dealt to 3 devices/);
  expect(out.match(/^memory of .* rank [012]:/gm)).toHaveLength(3);
});

test("a model that does not fit: the arithmetic, and exit code 1", async () => {
  const { code, out, err } = await plan("--model demo --context 700", { NEURON_MEMORY_LIMIT_MB: "7" });
  expect([code, out]).toEqual([1, ""]);
  expect(err).toMatch(
    /does not fit: .* = 1\d\d\.\d\d MiB; there are 7\.00 MiB \(the configured limit of 7\.00 MiB\)/,
  );
});

test.each([
  ["--model demo --max-in-flight 65", "65 sequences at once; 1 to 64 can be run"],
  ["--model demo --context 9999999", "context length 9999999 is too long"],
  ["--model /no/such/folder", "/no/such/folder does not exist"],
  ["--model org/absent", "org/absent is not in"],
])("%s", async (args, message) => {
  const { code, err } = await plan(args, { HF_HOME: mkdtempSync(join(tmpdir(), "neuron-plan-")) });
  expect(code).toBe(1);
  expect(err).toContain(message);
});
