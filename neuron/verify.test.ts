// `neuron verify`: what its flags ask of the engine, what it refuses, and its verdict. The engine's answers are made up.
import { beforeEach, expect, test, vi } from "vitest";
import type { CaseReport, Cut, CutReport } from "../engine/index.ts";
import { neuron } from "./command.fixture.ts";

/** What the engine was asked for, and what it answers. */
const engine = vi.hoisted(() => ({
  gpu: undefined as unknown,
  tuning: undefined as unknown,
  folder: "",
  options: undefined as unknown,
  everyWay: false,
  destroyed: 0,
  cases: [] as object[],
  rounds: [] as { ways: Record<string, string>; cases: object[]; error?: string }[],
}));

vi.mock("../engine/index.ts", async (original) => ({
  ...(await original<object>()),
  prepareAdapter: (options: object) => Promise.resolve((engine.gpu = options)),
  openGpu: (_choice: unknown, _limits: unknown, tuning: unknown) => {
    engine.tuning = tuning;
    const destroy = () => (engine.destroyed += 1);
    return Promise.resolve({ report: { name: "a card", kind: "hardware" }, destroy });
  },
  async *verifyFolder(_gpu: unknown, folder: string, options: unknown) {
    Object.assign(engine, { folder, options });
    yield* await Promise.resolve(engine.cases);
  },
  async *verifyEveryWay(_gpu: unknown, folder: string, options: object) {
    Object.assign(engine, { folder, options, everyWay: true });
    for (const { ways, cases, error } of engine.rounds)
      yield await Promise.resolve({ ways, mode: "f32", reports: answers(cases, error) });
  },
}));

async function* answers(cases: object[], error?: string) {
  yield* await Promise.resolve(cases);
  if (error !== undefined) throw new Error(error);
}

function cut(failures: string[] = []): CutReport {
  const logits = { maxAbs: 0.25, meanAbs: 0.125, cosine: 1, relativeRms: 0, worst: 0 };
  const other = { ...logits, maxAbs: 0.5 };
  return {
    ...{ cut: "whole" satisfies Cut, logits, argmax: { agree: 8, positions: 9 } },
    greedy: { agreed: 3, total: 4, gap: undefined },
    intermediates: { "layer.0.attn.in": logits, "layer.1.attn.in": other, embeddings: logits },
    ...{ passed: failures.length === 0, failures },
  };
}

const good: CaseReport = { name: "text_9", promptTokens: 9, passed: true, cuts: [cut()] };
const bad: CaseReport = { ...good, name: "text_7", passed: false, cuts: [cut(["logits 1 > 0.5"])] };
const notRun: CaseReport = { name: "eyes", promptTokens: 3, passed: false, notRun: "it is blind", cuts: [] };

beforeEach(() => {
  Object.assign(engine, { gpu: undefined, tuning: undefined, options: undefined, everyWay: false });
  Object.assign(engine, { destroyed: 0, cases: [good], rounds: [] });
});

const verify = (args: string[] = [], env: NodeJS.ProcessEnv = {}) =>
  neuron(["verify", "some/folder", ...args], env);

test("nothing said: the engine's guesses, every case, f32", async () => {
  expect((await verify()).code).toBe(0);
  expect(engine).toMatchObject({ folder: "some/folder", everyWay: false, destroyed: 1 });
  expect([engine.gpu, engine.tuning]).toEqual([
    { adapter: undefined, device: undefined, shaderChecks: undefined },
    undefined,
  ]);
  expect(engine.options).toEqual({ mode: "f32", cases: [], kvCache: "f32" });
});

test.each<[string[], NodeJS.ProcessEnv, { strict: boolean; autotune: boolean } | undefined]>([
  [["--strict"], {}, { strict: true, autotune: false }],
  [["--autotune"], {}, { strict: false, autotune: true }],
  [["--strict", "--autotune"], {}, { strict: true, autotune: true }],
  [[], { NEURON_STRICT: "true" }, { strict: true, autotune: false }],
  [[], { NEURON_AUTOTUNE: "false" }, undefined],
])("%j with %j: which kernels", async (args, env, tuning) => {
  expect((await verify(args, env)).code).toBe(0);
  expect(engine.tuning).toEqual(tuning);
});

test.each([true, false])("shader_checks = %s", async (shaderChecks) => {
  await verify([], { NEURON_SHADER_CHECKS: `${shaderChecks}` });
  expect(engine.gpu).toMatchObject({ shaderChecks });
});

test("what is asked of the model", async () => {
  const form = ["--weights", "w.gguf", "--quant", "q8_0", "--tolerance", "bf16"];
  await verify([...form, "--case", "one", "two", "--adapter", "radeon", "--device", "2"], {
    NEURON_KV_CACHE: "f16",
  });
  expect(engine.gpu).toMatchObject({ adapter: "radeon", device: 2 });
  expect(engine.options).toEqual({
    ...{ mode: "bf16", cases: ["one", "two"], weights: "w.gguf", quant: "q8_0", kvCache: "f16" },
  });
});

test.each<[string, object | undefined]>([
  ["--device 0", undefined],
  ["--device 0,0", { by: "tensor", weights: [1, 1] }],
  ["--tensor-parallel 3", { by: "tensor", weights: [1, 1, 1] }],
  ["--pipeline-parallel 2 --device-weights 2,1", { by: "pipeline", weights: [2, 1] }],
  ["--device 1,1,1 --pipeline-parallel 3", { by: "pipeline", weights: [1, 1, 1] }],
])("%s: %j", async (args, spread) => {
  expect((await verify(args.split(" "))).code).toBe(0);
  expect((engine.options as { spread?: object }).spread).toEqual(spread);
});

test.each([
  ["--every-way --strict", "--every-way and strict: one or the other"],
  ["--every-way --autotune", "--every-way and autotune: one or the other"],
  ["--device 0,1", "devices 0, 1: parts are verified on one device"],
  ["--device 0,0 --tensor-parallel 3", "3 parts, and 2 devices named"],
  ["--tensor-parallel 2 --device-weights 1,1,1", "weights: 3 for 2 parts"],
  ["--device-weights 1,1", "weights: 2 for 0 parts"],
  ["--tensor-parallel 2 --pipeline-parallel 2", "one or the other"],
])("%s is refused: one line, exit code 1, nothing verified", async (args, words) => {
  const { code, out, err } = await verify(args.split(" "));
  expect([code, err]).toEqual([1, expect.stringMatching(/^error: [^\n]+\n$/)]);
  expect(err).toContain(words);
  expect([engine.options, out.includes("pass")]).toEqual([undefined, false]);
});

test.each<[string, object[], number, string]>([
  ["all pass", [good, good], 0, "pass: 2 of 2 cases"],
  ["one fails", [good, bad], 1, "FAIL: 1 of 2 cases pass"],
  ["one was not run", [good, notRun], 1, "FAIL: 1 of 2 cases pass"],
  ["there is none", [], 1, "FAIL: 0 of 0 cases pass"],
])("%s", async (_, cases, code, last) => {
  engine.cases = cases;
  const said = await verify();
  expect([said.code, said.out.trimEnd().split("\n").at(-1)]).toEqual([code, last]);
  expect(engine.destroyed).toBe(1);
});

test("a report for people: the worst of each kind, and why a case fails", async () => {
  engine.cases = [bad, notRun];
  expect((await verify()).out.split("\n").map((line) => line.trimEnd())).toEqual([
    "some/folder on a card (hardware)",
    "text_7 (9 tokens)",
    "  whole          logits max 2.50e-1  mean 1.25e-1  cos 1.000000000  argmax 8/9  greedy 3/4  FAIL: logits 1 > 0.5",
    "      layer.attn.in          max 5.00e-1  mean 1.25e-1  cos 1.000000000  (worst of 2: layer.1.attn.in)",
    "      embeddings             max 2.50e-1  mean 1.25e-1  cos 1.000000000  (worst of 1: embeddings)",
    "eyes (3 tokens): not run: it is blind",
    ...["FAIL: 0 of 2 cases pass", ""],
  ]);
});

test("--json: one document and nothing else", async () => {
  engine.cases = [bad];
  const { code, out } = await verify(["--json"]);
  expect([code, JSON.parse(out)]).toEqual([
    1,
    { folder: "some/folder", adapter: "a card", mode: "f32", passed: false, cases: [bad] },
  ]);
});

test("--every-way: round by round; one that cannot be run is a failed case", async () => {
  engine.rounds = [
    { ways: {}, cases: [good] },
    { ways: { "matmul f32": "tiles of 64" }, cases: [], error: "it does not compile" },
    { ways: { "matmul f32": "tiles of 32" }, cases: [good] },
  ];
  const people = await verify(["--every-way"]);
  expect([people.code, engine.everyWay]).toEqual([1, true]);
  expect(people.out.split("\n").filter((line) => /bounds|not run|cases/.test(line))).toEqual([
    "as the engine guesses (bounds of f32)",
    "matmul f32: tiles of 64 (bounds of f32)",
    "not run: it does not compile",
    "matmul f32: tiles of 32 (bounds of f32)",
    "FAIL: 2 of 3 cases pass",
  ]);
  const { cases } = JSON.parse((await verify(["--every-way", "--json"])).out) as { cases: object[] };
  expect(cases).toMatchObject([
    { name: "text_9", ways: {} },
    { ways: { "matmul f32": "tiles of 64" }, passed: false, notRun: "it does not compile" },
    { name: "text_9", ways: { "matmul f32": "tiles of 32" } },
  ]);
});

test("--every-way: what fails as the engine guesses is told as it is", async () => {
  engine.rounds = [{ ways: {}, cases: [], error: "no such file" }];
  const { code, err } = await verify(["--every-way"]);
  expect([code, err]).toEqual([1, expect.stringContaining("no such file")]);
  expect(engine.destroyed).toBe(1);
});
