// doppler-gpu: WebGPU in JavaScript, on the `webgpu` package that comes with it. Its own converter makes its format from
// our checkpoint once, which takes minutes. The conversion's settings are read from the installed package: Qwen3.5-0.8B
// has its own; of Qwen3-0.6B's shape it knows the reranker, of which the layers that it keeps in f16 become Q4_K like
// the others, with the kernels that the package has for those.
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { basename, join } from "node:path";
import { pathToFileURL } from "node:url";
import { packageRoot } from "../../engine/root.ts";
import { importPeer, peerFolder, type Peer } from "./index.ts";

interface Handle {
  advanced: {
    tokenizeText(text: string): number[];
    prefillKV(prompt: string, options: object): Promise<unknown>;
  };
  generateWithEvidence(
    prompt: string,
    options: object,
  ): Promise<{ tokenIds: number[]; stats: { decodeTimeMs: number; decodeTokens: number } }>;
  resetGenerationState(): void;
  unload(): Promise<void>;
}

interface Doppler {
  load(model: { url: string }, options: object): Promise<Handle>;
}

interface Tooling {
  runNodeCommand(request: object): Promise<unknown>;
}

/** Of the conversion settings, what is changed here. */
interface Conversion {
  output: { modelBaseId: string };
  quantization: { modulesToNotConvert: string[]; lmHead: string };
  manifest: { artifactIdentity?: unknown };
  inference: { supportsRerank?: boolean; rerank?: unknown };
  execution: {
    kernels: Record<string, unknown>;
    decode: string[][];
    prefill: string[][];
    postLayer: string[][];
  };
}

export async function openDoppler(folder: string, quant: string | undefined): Promise<Peer> {
  if (quant !== "q4_k") throw new Error("doppler-gpu runs its Q4_K: --quant q4_k");
  const url = pathToFileURL(await converted(folder)).href;
  const { load } = (await importPeer("doppler-gpu")) as Doppler;
  const model = await load({ url }, { onProgress: () => undefined });
  const options = { temperature: 0, topK: 1, useChatTemplate: false };
  return {
    name: "doppler-gpu q4_k",
    async run(phase, tokens) {
      model.resetGenerationState();
      if (phase === "prefill") return timed(() => model.advanced.prefillKV(promptOf(model, tokens), options));
      // By its own clock, without the token of the prompt before it.
      const decode = { ...options, maxTokens: tokens + 1 };
      const { stats } = await model.generateWithEvidence(promptOf(model, 1), decode);
      if (stats.decodeTokens < 1) throw new Error("the peer ended at its first token");
      return (stats.decodeTimeMs / stats.decodeTokens) * tokens;
    },
    close: () => model.unload(),
  };
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await work();
  return performance.now() - begun;
}

/** A text of so many tokens. */
function promptOf({ advanced }: Handle, tokens: number): string {
  for (let words = 1; words <= tokens; words += 1) {
    const text = " the".repeat(words);
    if (advanced.tokenizeText(text).length === tokens) return text;
  }
  throw new Error(`no prompt of ${tokens} tokens`);
}

/** The folder of its format, made where it is not there yet. */
async function converted(folder: string): Promise<string> {
  const path = join(folder, "doppler-q4k");
  if (existsSync(path)) return path;
  const source = join(folder, "doppler-source");
  rmSync(source, { recursive: true, force: true });
  mkdirSync(source);
  symlinkSync(join(folder, "model.safetensors"), join(source, "model.safetensors"));
  copyFileSync(join(folder, "config.json"), join(source, "config.json"));
  const words = join(packageRoot, "test-fixtures", "demo-model", "model");
  for (const name of ["tokenizer.json", "tokenizer_config.json"])
    copyFileSync(join(words, name), join(source, name));
  console.error(`doppler-gpu converts ${basename(folder)}, which takes minutes`);
  const { runNodeCommand } = (await importPeer("doppler-gpu/tooling")) as Tooling;
  const unfinished = `${path}.part`;
  const convertPayload = { converterConfig: conversionOf(basename(folder)), execution: null };
  await runNodeCommand({ command: "convert", inputDir: source, outputDir: unfinished, convertPayload });
  renameSync(unfinished, path);
  return path;
}

/** The package's settings for a shape. Errors: it has none. */
function conversionOf(shape: string): Conversion {
  const settings = join(peerFolder, "node_modules", "doppler-gpu", "src", "config", "conversion", "qwen3");
  const read = (name: string) =>
    JSON.parse(readFileSync(join(settings, `${name}.json`), "utf8")) as Conversion;
  if (shape === "qwen3.5-0.8b") return read("qwen-3-5-0-8b-q4k-ehaf16");
  if (shape !== "qwen3-0.6b")
    throw new Error(`no conversion of ${shape}; there are qwen3-0.6b, qwen3.5-0.8b`);
  return allQ4K(read("qwen-3-reranker-0-6b-q4k-ehf16-af32"));
}

function allQ4K(config: Conversion): Conversion {
  const { kernels, decode, prefill, postLayer } = config.execution;
  const instead: Readonly<Record<string, string>> = { gemv: "q4_decode_gemv", tiled: "q4_widetile" };
  const heads: Readonly<Record<string, string>> = { lm_head_gemv: "lm_head_q4", tiled: "q4_prefill" };
  for (const step of [...decode, ...prefill]) step[1] = instead[step[1]!] ?? step[1]!;
  for (const step of postLayer) step[1] = heads[step[1]!] ?? step[1]!;
  const unused = ["gemv", "tiled", "lm_head_gemv"];
  config.execution.kernels = Object.fromEntries(
    Object.entries(kernels).filter(([key]) => !unused.includes(key)),
  );
  config.quantization.modulesToNotConvert = [];
  config.quantization.lmHead = "q4k";
  config.output.modelBaseId = "qwen-3-0-6b-q4k";
  delete config.inference.supportsRerank;
  delete config.inference.rerank;
  delete config.manifest.artifactIdentity;
  return config;
}
