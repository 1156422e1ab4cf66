// ways: every way that a device has of computing something, at the widths of released models. A kernel may be right for
// the small models of the references, and wrong for tiles, splits and grids that only these have. No reference of that size
// is at hand, so what judges is the same layers on the same device in floats, each sum in one order (strict).
//   npm run bench -- ways [SHAPE …] [--quant TYPE] [--adapter NAME]
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openCheckpoint } from "../engine/formats/checkpoint.ts";
import { exportGguf } from "../engine/formats/gguf/export.ts";
import { f32ToBf16 } from "../engine/formats/halves.ts";
import { writeSafetensors, type TensorSpec } from "../engine/formats/write.ts";
import type { Gpu } from "../engine/gpu/adapter.ts";
import { Tuning } from "../engine/gpu/tuning.ts";
import { parseConfig } from "../engine/models/config.ts";
import { Team } from "../engine/verify/spread.ts";
import type { Cut } from "../engine/verify/verify.ts";
import { verifyEveryWay } from "../engine/verify/ways.ts";
import { shapeConfig, tensorsOf } from "./shapes.ts";

/** Tokens of a prompt: one is decoded too; in the other, tiles of 128 and chunks of the delta rule are not whole at the end. */
const prompts: readonly { tokens: number; cuts: readonly Cut[] }[] = [
  { tokens: 6, cuts: ["whole", "token by token", "among others"] },
  { tokens: 150, cuts: ["whole"] },
];
/** Logits of all tokens are read. */
const vocab = 1000;
/** What sums of up to 17,408 products in another order, or of factors with 8 or 11 bits, differ by at most. */
const tolerance = {
  ...{ f32_engine_logits_max_abs: 2e-3, f32_greedy_gap: 1e-2 },
  ...{ bf16_engine_logits_rel_rms: 0.02, bf16_greedy_gap: 0.2 },
};

/** What one way, or several of different kernels, gave in one cut of a prompt. */
export interface WayReport {
  tokens: number;
  cut: Cut;
  /** Of the kernels that have another than in the reports before. */
  ways: Readonly<Record<string, string>>;
  /** Of the difference, over the logits' standard deviation. */
  relativeRms: number;
  /** Why it does not agree. */
  failures: readonly string[];
}

/** Prints a line a way, of each shape. Errors: some that do not agree, when all have been tried. */
export async function ways(gpu: Gpu, names: readonly string[], quant: string | undefined): Promise<void> {
  let wrong = 0;
  for (const name of names) {
    console.log(`${name}, ${quant ?? "as stored"}`);
    for await (const report of everyWay(gpu, fewLayers(shapeConfig(name)), quant)) {
      const { tokens, cut, relativeRms, failures } = report;
      if (failures.length > 0) wrong += 1;
      const verdict = failures.length > 0 ? `DISAGREES: ${failures.join(", ")}` : "agrees";
      const ways = Object.entries(report.ways).map(([kernel, way]) => `${kernel}: ${way}`);
      const said = ways.join("; ") || "as guessed";
      console.log(`  ${tokens} tokens ${cut}, ${relativeRms.toExponential(1)}, ${verdict} (${said})`);
    }
  }
  if (wrong > 0) throw new Error(`${wrong} do not agree with sums in one order`);
}

/** The shape with as many layers as there are kinds of them, and a small vocabulary. */
export function fewLayers(config: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const interval = config["full_attention_interval"];
  return { ...config, num_hidden_layers: typeof interval === "number" ? interval : 1, vocab_size: vocab };
}

/** A checkpoint of this config.json with random weights. Errors: as loading. */
export async function* everyWay(
  gpu: Gpu,
  config: Readonly<Record<string, unknown>>,
  quant: string | undefined,
): AsyncGenerator<WayReport> {
  const folder = await mkdtemp(join(tmpdir(), "ways-"));
  try {
    const weights = await writeModel(folder, config, quant);
    await writeReference(gpu, folder, weights);
    for (const { tokens, cuts } of prompts) {
      const options = { mode: "f32", cases: [String(tokens)], cuts, weights } as const;
      for await (const { ways, reports } of verifyEveryWay(gpu, folder, options))
        for await (const report of reports)
          for (const { cut, logits, failures } of report.cuts)
            yield { tokens, cut, ways, relativeRms: logits.relativeRms, failures };
    }
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Where its weights are: they are quantised once, and read for each way. Errors: as openCheckpoint. */
async function writeModel(
  folder: string,
  config: Readonly<Record<string, unknown>>,
  quant: string | undefined,
): Promise<string> {
  await writeFile(join(folder, "config.json"), JSON.stringify(config));
  const plainNorms = config["model_type"] === "qwen3";
  const tensors = tensorsOf(config).map((tensor) => ({
    ...tensor,
    data: () => valuesOf(tensor, plainNorms),
  }));
  await writeSafetensors(join(folder, "model.safetensors"), tensors);
  if (quant === undefined) return folder;
  const checkpoint = await openCheckpoint(folder, quant);
  const path = join(folder, `${quant}.gguf`);
  try {
    await exportGguf(checkpoint, path, checkpoint.quant && { dtype: checkpoint.quant });
  } finally {
    await checkpoint.close();
  }
  await rm(join(folder, "model.safetensors"));
  return path;
}

/** As trained weights have them: sums stay near 1, norms near what multiplies by 1, some channels stand out. Row by row. */
function* valuesOf({ name, dtype, shape }: TensorSpec, plainNorms: boolean): Generator<ArrayBufferView> {
  const K = shape.length > 1 ? shape.slice(1).reduce((a, b) => a * b) : shape[0]!;
  const rows = shape.length > 1 ? shape[0]! : 1;
  const norm = name.endsWith("norm.weight");
  const matrix = shape.length === 2;
  const middle = norm && (plainNorms || name.includes("linear_attn")) ? 1 : 0; // others are stored less 1
  const size = norm ? 0.2 : matrix ? Math.sqrt(3 / K) : 0.5;
  let seed = [...name].reduce((sum, letter) => (Math.imul(sum, 31) + letter.charCodeAt(0)) >>> 0, 7);
  const values = new Float32Array(K);
  for (let row = 0; row < rows; row += 1) {
    for (let k = 0; k < K; k += 1) {
      seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
      values[k] = middle + size * (seed / 2 ** 31 - 1) * (matrix && k % 97 === 5 ? 6 : 1);
    }
    yield dtype === "F32" ? values : f32ToBf16(values);
  }
}

/** What judges, in the layout of a reference: the prompts' logits as this device computes them in one order. */
async function writeReference(gpu: Gpu, folder: string, weights: string): Promise<void> {
  const checkpoint = await openCheckpoint(weights);
  const config = parseConfig(checkpoint.config, checkpoint.configFile);
  const strict = { ...gpu, tuning: new Tuning({ strict: true }) };
  const capacity = Math.max(...prompts.map(({ tokens }) => tokens));
  const team = await Team.create(strict, checkpoint, config, { capacity });
  const cases = [];
  try {
    await team.fill();
    await mkdir(join(folder, "golden"));
    for (const { tokens } of prompts) {
      const ids = Array.from({ length: tokens }, (_, i) => (i * i * 31 + 7 * (i % 11)) % vocab);
      team.reset();
      const data = (await team.feed(ids, Infinity)).get("logits")!;
      const golden = `golden/${tokens}.safetensors`;
      await writeSafetensors(join(folder, golden), [
        { name: "logits", dtype: "F32", shape: [tokens, vocab], data },
      ]);
      cases.push({ name: String(tokens), input_ids: ids, golden });
    }
  } finally {
    team.destroy();
    await checkpoint.close();
  }
  await writeFile(join(folder, "inputs.json"), JSON.stringify({ cases }));
  await writeFile(join(folder, "meta.json"), JSON.stringify({ tolerance }));
}
