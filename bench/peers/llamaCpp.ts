// node-llama-cpp: llama.cpp on the CPU, or on its Vulkan backend (NEURON_BENCH_LLAMA_GPU=vulkan), the first adapter of which
// it is told to take: of itself it takes no software adapter, and computes on the CPU without a word. It reads a GGUF file of the same shape, written beside our checkpoint once, with the
// demo model's words in it: speed does not depend on them.
import { existsSync, readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { openCheckpoint, type WeightDtype } from "../../engine/formats/checkpoint.ts";
import { exportGguf } from "../../engine/formats/gguf/export.ts";
import { packageRoot } from "../../engine/root.ts";
import { importPeer, type Peer } from "./index.ts";

interface Sequence {
  clearHistory(): Promise<void>;
  evaluate(tokens: number[], options: object): AsyncIterable<number>;
  evaluateWithoutGeneratingNewTokens(tokens: number[]): Promise<unknown>;
}

interface NodeLlamaCpp {
  LlamaLogLevel: { error: string };
  getLlama(options: object): Promise<{
    gpu: string | false;
    getGpuDeviceNames(): Promise<string[]>;
    loadModel(options: object): Promise<{
      createContext(options: object): Promise<{ getSequence(): Sequence }>;
      dispose(): Promise<void>;
    }>;
    dispose(): Promise<void>;
  }>;
}

export async function openLlamaCpp(folder: string, quant: string | undefined): Promise<Peer> {
  const { getLlama, LlamaLogLevel } = (await importPeer("node-llama-cpp")) as NodeLlamaCpp;
  const modelPath = await ggufOf(folder, quant);
  const gpu = process.env["NEURON_BENCH_LLAMA_GPU"] ?? false;
  if (gpu) process.env["GGML_VK_VISIBLE_DEVICES"] ??= "0";
  // Left alone it takes four threads or more, which wait by spinning: on fewer cores that is slower many times.
  const threads = availableParallelism();
  const llama = await getLlama({ gpu, build: "never", logLevel: LlamaLogLevel.error, maxThreads: threads });
  const names = gpu ? await llama.getGpuDeviceNames() : [];
  if (gpu && names.length === 0) throw new Error(`llama.cpp finds no adapter for ${gpu}`);
  const model = await llama.loadModel({ modelPath, gpuLayers: gpu ? "max" : 0 });
  const context = await model.createContext({ contextSize: 1024, batchSize: 512, threads });
  const sequence = context.getSequence();
  return {
    name: `llama.cpp ${llama.gpu === false ? "cpu" : llama.gpu}`,
    async run(phase, tokens) {
      await sequence.clearHistory();
      const ids = Array.from({ length: phase === "prefill" ? tokens : 1 }, (_, i) => 5 + (i % 97));
      const begun = performance.now();
      if (phase === "prefill") await sequence.evaluateWithoutGeneratingNewTokens(ids);
      else await decode(sequence, ids, tokens);
      return performance.now() - begun;
    },
    async close() {
      await model.dispose();
      await llama.dispose();
    },
  };
}

async function decode(sequence: Sequence, ids: number[], tokens: number): Promise<void> {
  const made: number[] = [];
  for await (const token of sequence.evaluate(ids, { temperature: 0, yieldEogToken: true })) {
    made.push(token);
    if (made.length === tokens) return;
  }
  throw new Error(`the peer ended after ${made.length} tokens of ${tokens}`);
}

/** The same weights as a GGUF file, made where it is not there yet. */
async function ggufOf(folder: string, quant: string | undefined): Promise<string> {
  if (folder.endsWith(".gguf")) return folder;
  const path = join(folder, `${quant ?? "stored"}.gguf`);
  if (existsSync(path)) return path;
  const words = join(packageRoot, "test-fixtures", "demo-model", "model", "tokenizer.json");
  const tokenizer = JSON.parse(readFileSync(words, "utf8")) as Record<string, never>;
  const checkpoint = await openCheckpoint(folder);
  try {
    const dtype = quant?.toUpperCase() as WeightDtype | undefined;
    await exportGguf(checkpoint, path, { tokenizer, ...(dtype ? { dtype } : {}) });
  } finally {
    await checkpoint.close();
  }
  return path;
}
