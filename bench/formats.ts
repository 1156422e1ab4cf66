// formats: what each block type costs a model, and what it saves. The mean log-probability of fixed answers, which the
// model gave itself in bf16, and how far all its probabilities have moved (Kullback-Leibler, nats a token), with products in
// floats and, of the types that have them, in bytes, whose divergence is from the same type in floats. As when it serves
// the prompt is one run, the answer a run a token.
//   npm run bench -- formats [FOLDER] [--adapter NAME]     FOLDER: a model with golden/cases.json beside it, as demo
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { blockTypes } from "../engine/formats/blocks/format.ts";
import { openCheckpoint } from "../engine/formats/checkpoint.ts";
import { openConverter } from "../engine/formats/quantise/pool.ts";
import type { Gpu } from "../engine/gpu/adapter.ts";
import { Tuning } from "../engine/gpu/tuning.ts";
import { parseConfig } from "../engine/models/config.ts";
import { Loader } from "../engine/models/loader.ts";
import { architectures } from "../engine/models/registry.ts";
import { packageRoot } from "../engine/root.ts";
import { Tracer } from "../engine/verify/trace.ts";
import { commit } from "./commit.ts";

interface Text {
  prompt: number[];
  answer: number[];
}

interface Measured {
  /** Of every token where a token of an answer is due. */
  logprobs: Float32Array[];
  weightBytes: number;
}

/** Answers measured. */
const most = 24;
const demoFolder = join(packageRoot, "test-fixtures", "demo-model", "model");

/** Prints the table and the line for bench/results. */
export async function formats(gpu: Gpu, folder = demoFolder): Promise<void> {
  const texts = textsOf(folder);
  const inFloats: Gpu = { ...gpu, tuning: new Tuning({ strict: true }) };
  const inBytes: Gpu = { ...gpu, tuning: Tuning.only("bytes") };
  const exact = await measure(inFloats, folder, undefined, texts);
  const ids = texts.flatMap(({ answer }) => answer);
  const rows: Row[] = [{ format: "as stored", ...row(exact, exact, ids), bytes: undefined }];
  for (const type of blockTypes) {
    const format = type.toLowerCase();
    const floats = await measure(inFloats, folder, format, texts);
    const bytes = row(await measure(inBytes, folder, format, texts), floats, ids);
    rows.push({ format, ...row(floats, exact, ids), bytes });
  }
  print(rows);
  const about = { folder, tokens: ids.length, rows };
  console.log(JSON.stringify({ bench: "formats", commit: commit(), device: gpu.report.name, ...about }));
}

interface Figures {
  weightBytes: number;
  meanLogprob: number;
  divergence: number;
}

interface Row extends Figures {
  format: string;
  bytes: Figures | undefined;
}

function print(rows: readonly Row[]): void {
  console.table(
    rows.map(({ format, weightBytes, meanLogprob, divergence, bytes }) => ({
      format,
      "MB of weights": (weightBytes / 1e6).toFixed(2),
      "mean log-probability": meanLogprob.toFixed(5),
      "divergence, nats a token": divergence.toExponential(1),
      "mean log-probability in bytes": bytes?.meanLogprob.toFixed(5) ?? "",
      "divergence by bytes": bytes?.divergence.toExponential(1) ?? "",
    })),
  );
}

function textsOf(folder: string): Text[] {
  const file = join(folder, "..", "golden", "cases.json");
  const { cases } = JSON.parse(readFileSync(file, "utf8")) as {
    cases: { n_images: number; prompt_ids: number[]; output_ids: number[] }[];
  };
  const spoken = cases.filter(({ n_images }) => n_images === 0).slice(0, most);
  return spoken.map(({ prompt_ids, output_ids }) => ({ prompt: prompt_ids, answer: output_ids }));
}

function row({ logprobs, weightBytes }: Measured, exact: Measured, ids: readonly number[]): Figures {
  const meanLogprob = ids.reduce((sum, id, i) => sum + logprobs[i]![id]!, 0) / ids.length;
  const each = exact.logprobs.map((p, i) =>
    p.reduce((sum, lp, id) => sum + Math.exp(lp) * (lp - logprobs[i]![id]!), 0),
  );
  return { weightBytes, meanLogprob, divergence: each.reduce((sum, one) => sum + one, 0) / each.length };
}

async function measure(
  gpu: Gpu,
  folder: string,
  quant: string | undefined,
  texts: readonly Text[],
): Promise<Measured> {
  const checkpoint = await openCheckpoint(folder, quant);
  const converter = openConverter();
  const loader = new Loader(gpu, checkpoint, { converter });
  const config = { ...parseConfig(checkpoint.config, checkpoint.configFile), vision: undefined };
  const network = await architectures[config.modelType](loader, config);
  const longest = Math.max(...texts.map(({ prompt, answer }) => prompt.length + answer.length));
  const tracer = await loader.fillBeside(() => Tracer.create(gpu, network, config, longest));
  const logprobs: Float32Array[] = [];
  for (const { prompt, answer } of texts) {
    tracer.reset();
    const read = (await tracer.feed(prompt)).get("logits")!;
    logprobs.push(logSoftmax(read.slice(-config.vocab)));
    const spoken = (await tracer.feed(answer.slice(0, -1), 1)).get("logits")!;
    for (let at = 0; at < spoken.length; at += config.vocab)
      logprobs.push(logSoftmax(spoken.subarray(at, at + config.vocab)));
  }
  const { bytes: weightBytes } = loader;
  tracer.destroy();
  loader.dispose();
  await converter.close();
  await checkpoint.close();
  return { logprobs, weightBytes };
}

function logSoftmax(logits: Float32Array): Float32Array {
  const largest = logits.reduce((a, b) => Math.max(a, b));
  const sum = logits.reduce((total, value) => total + Math.exp(value - largest), 0);
  return logits.map((value) => value - largest - Math.log(sum));
}
