// Whole models in other formats: GGUF files against the goldens of the checkpoints that they were made of, and what
// each quantisation costs.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { demoModel } from "../../test-fixtures/golden.ts";
import { testGpu } from "../../test-fixtures/gpu.ts";
import { widen } from "../../test-fixtures/widened.ts";
import { openCheckpoint, type WeightDtype } from "../formats/checkpoint.ts";
import { exportGguf } from "../formats/gguf/export.ts";
import { parseConfig } from "../models/config.ts";
import { Loader } from "../models/loader.ts";
import { architectures } from "../models/registry.ts";
import { packageRoot } from "../root.ts";
import { Tracer } from "./trace.ts";
import { verifyFolder, type VerifyOptions } from "./verify.ts";

const timeout = 300_000;
const scratch = mkdtempSync(join(tmpdir(), "formats-"));
afterAll(() => rmSync(scratch, { recursive: true }));
const gpu = await testGpu();

async function exported(folder: string, dtype?: WeightDtype): Promise<string> {
  const checkpoint = await openCheckpoint(folder);
  const path = join(scratch, `${basename(folder)}-${dtype ?? "stored"}.gguf`);
  await exportGguf(checkpoint, path, dtype ? { dtype } : {});
  await checkpoint.close();
  return path;
}

async function expectVerified(folder: string, name: string, options: VerifyOptions): Promise<void> {
  for await (const report of verifyFolder(gpu, folder, { cases: [name], ...options })) {
    for (const cut of report.cuts) expect(cut.failures, `${name}, ${cut.cut}`).toEqual([]);
    expect(report).toMatchObject({ name, passed: true });
  }
}

const reference = (name: string) => join(packageRoot, "test-fixtures", "reference", name);

// What GGUF does to values is undone to 1e-7; but Qwen3.5's states lie in another order, and f32 mode looks at states.
test.each([
  ["llama3-tiny-ropescaled", "text_9", "f32"],
  ["qwen2-tiny-sharded", "text_9", "f32"],
  ["qwen3-tiny-tied", "text_9", "f32"],
  ["qwen3_5-tiny-text", "text_7", "bf16"],
] as const)("%s as GGUF agrees with the reference", { timeout }, async (name, one, mode) => {
  await expectVerified(reference(name), one, { mode, weights: await exported(reference(name)) });
});

test.each([
  ["llama3-tiny-ropescaled", "text_9"],
  ["qwen3_5-tiny-text", "text_7"],
] as const)("%s in q8_0 agrees with the reference as a bf16 engine must", { timeout }, async (name, one) => {
  await expectVerified(reference(name), one, { mode: "bf16", quant: "q8_0" });
  await expectVerified(reference(name), one, {
    mode: "bf16",
    weights: await exported(reference(name), "Q8_0"),
  });
});

describe("the demo model, by what it thinks of its own answers", () => {
  let texts: { prompt: number[]; answer: number[] }[];
  let exact: Float32Array[];
  /** The same with rows of whole 256, without which a _K type is asked for and another taken. */
  const wide = join(scratch, "wide");

  beforeAll(async () => {
    const { cases } = JSON.parse(readFileSync(join(demoModel, "..", "golden", "cases.json"), "utf8")) as {
      cases: { n_images: number; prompt_ids: number[]; output_ids: number[] }[];
    };
    const spoken = cases.filter(({ n_images }) => n_images === 0);
    texts = spoken.slice(0, 24).map((one) => ({ prompt: one.prompt_ids, answer: one.output_ids }));
    exact = await logprobs(demoModel);
    await widen(demoModel, wide, 256);
  }, timeout);

  /** The log-probabilities of every token where a token of an answer is due. `quant` is what most matrices are then. */
  async function logprobs(path: string, quant?: string): Promise<Float32Array[]> {
    const checkpoint = await openCheckpoint(path, quant);
    const loader = new Loader(gpu, checkpoint);
    let tracer: Tracer | undefined;
    try {
      const config = { ...parseConfig(checkpoint.config, path), vision: undefined };
      const network = await architectures[config.modelType](loader, config);
      tracer = await Tracer.create(gpu, network, config, 512);
      await loader.fill();
      if (quant) expect(loader.mainFormat).toBe(quant);
      const all: Float32Array[] = [];
      for (const { prompt, answer } of texts) {
        tracer.reset();
        const logits = (await tracer.feed([...prompt, ...answer])).get("logits")!;
        for (let i = prompt.length - 1; i < prompt.length + answer.length - 1; i++) {
          all.push(logSoftmax(logits.subarray(i * config.vocab, (i + 1) * config.vocab)));
        }
      }
      return all;
    } finally {
      tracer?.destroy();
      loader.dispose();
      await checkpoint.close();
    }
  }

  function meanOfAnswers(all: readonly Float32Array[]): number {
    const ids = texts.flatMap(({ answer }) => answer);
    return ids.reduce((sum, id, i) => sum + all[i]![id]!, 0) / ids.length;
  }

  /** Mean over positions of Σ p (log p − log q), p without quantisation. */
  function divergence(all: readonly Float32Array[]): number {
    const each = exact.map((p, i) => p.reduce((sum, lp, id) => sum + Math.exp(lp) * (lp - all[i]![id]!), 0));
    return each.reduce((sum, one) => sum + one) / each.length;
  }

  test("as it is, it is sure of them", () => {
    expect(meanOfAnswers(exact)).toBeGreaterThan(-0.01);
    expect(divergence(exact)).toBe(0);
  });

  test("with a wider residual stream it is as sure", { timeout }, async () => {
    expect(divergence(await logprobs(wide))).toBeLessThan(1e-6);
  });

  // Bounds are some twice what was seen.
  test.each([
    ["q8_0", 1e-4, 1e-5],
    ["q5_1", 4e-4, 1e-4],
    ["q5_0", 4e-4, 1.5e-4],
    ["q4_1", 2e-3, 1e-3],
    ["q4_0", 3e-3, 2e-3],
    ["q6_k", 2e-4, 3e-5],
    ["q5_k", 4e-4, 1.5e-4],
    ["q4_k", 4e-4, 4e-4],
    ["q3_k", 2e-3, 2.5e-3],
    ["q2_k", 4e-2, 4e-2],
  ])("in %s: log-probability within %d, divergence below %d", { timeout }, async (quant, bound, most) => {
    const all = await logprobs(quant.endsWith("k") ? wide : demoModel, quant);
    expect(Math.abs(meanOfAnswers(all) - meanOfAnswers(exact))).toBeLessThan(bound);
    expect(divergence(all)).toBeGreaterThan(0);
    expect(divergence(all)).toBeLessThan(most);
  });

  test("a GGUF file of a type says the same as quantising at load", { timeout }, async () => {
    const file = await logprobs(await exported(demoModel, "Q8_0"));
    const atLoad = await logprobs(demoModel, "q8_0");
    expect(Math.abs(meanOfAnswers(file) - meanOfAnswers(atLoad))).toBeLessThan(2e-5);
  });
});

function logSoftmax(logits: Float32Array): Float32Array {
  const largest = logits.reduce((most, value) => Math.max(most, value));
  const sum = logits.reduce((total, value) => total + Math.exp(value - largest), 0);
  return logits.map((value) => value - largest - Math.log(sum));
}
