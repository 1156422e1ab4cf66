// onnxruntime-node on its WebGPU provider (Dawn, built into it), on the adapter that the Vulkan loader shows it: what
// transformers.js runs on. Measured are single matrix products, and a Qwen3 as 4-bit graph, which we write (onnx/); the
// KV cache stays on the device from run to run, the logits are read and their largest is fed, as transformers.js does.
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseConfig, type ModelConfig } from "../../engine/models/config.ts";
import { importPeer, type Peer } from "./index.ts";
import { GraphBuilder, type MatrixFormat } from "./onnx/graph.ts";
import { qwen3Graph } from "./onnx/qwen3.ts";

interface Tensor {
  data: Float32Array;
  dispose(): void;
}

interface Session {
  outputNames: string[];
  run(feeds: Record<string, Tensor>): Promise<Record<string, Tensor>>;
  release(): Promise<void>;
}

interface Onnxruntime {
  Tensor: new (type: string, data: ArrayBufferView, shape: readonly number[]) => Tensor;
  InferenceSession: { create(path: string, options: object): Promise<Session> };
}

const name = "onnxruntime webgpu";

/** The folder's shape with random weights of 4 bits, written beside our checkpoint once. */
export async function openOnnxruntime(folder: string, quant: string | undefined): Promise<Peer> {
  if (quant !== "q4_0") throw new Error("onnxruntime-node runs 4-bit blocks of 32: --quant q4_0");
  const ort = await load();
  const config = parseConfig(JSON.parse(readFileSync(join(folder, "config.json"), "utf8")), folder);
  const session = await open(ort, modelOf(config, folder), presentNames(config));
  const model = new Model(ort, session, config);
  return {
    name: `${name} (the graph that transformers.js runs)`,
    async run(phase, tokens) {
      model.clear();
      const ids = Array.from({ length: phase === "prefill" ? tokens : 1 }, (_, i) => 5 + (i % 97));
      const begun = performance.now();
      let next = await model.feed(ids);
      for (let made = 1; phase === "decode" && made < tokens; made += 1) next = await model.feed([next]);
      return performance.now() - begun;
    },
    async close() {
      model.clear();
      await session.release();
    },
  };
}

/** A chain of products 1024 → 3072 → 1024, each with a matrix of its own. */
export async function openMatmul(folder: string, format: string, pairs: number, rows: number): Promise<Peer> {
  const ort = await load();
  mkdirSync(folder, { recursive: true });
  const type = format === "f16" ? "float16" : "float32";
  const session = await open(ort, chainOf(format as MatrixFormat, pairs, rows).save(folder), []);
  const values = rows * 1024;
  const x = format === "f16" ? new Uint16Array(values).fill(0x2e66) : new Float32Array(values).fill(0.1);
  const feeds = { x: new ort.Tensor(type, x, [rows, 1024]) };
  return {
    name,
    async run() {
      const begun = performance.now();
      await session.run(feeds);
      return performance.now() - begun;
    },
    close: () => session.release(),
  };
}

function chainOf(format: MatrixFormat, pairs: number, rows: number): GraphBuilder {
  const graph = new GraphBuilder();
  const type = format === "f16" ? "f16" : "f32";
  graph.inputs.push({ name: "x", type, shape: [rows, 1024] });
  let y = "x";
  for (let i = 0; i < pairs; i += 1) {
    y = graph.matmul(y, `up.${i}`, [3072, 1024], format);
    y = graph.matmul(y, `down.${i}`, [1024, 3072], format);
  }
  graph.outputs.push({ name: y, type, shape: [rows, 1024] });
  return graph;
}

/** One sequence. */
class Model {
  #past: Record<string, Tensor> = {};
  #length = 0;
  readonly #ort: Onnxruntime;
  readonly #session: Session;
  readonly #config: ModelConfig;

  constructor(ort: Onnxruntime, session: Session, config: ModelConfig) {
    this.#ort = ort;
    this.#session = session;
    this.#config = config;
  }

  clear(): void {
    for (const tensor of Object.values(this.#past)) tensor.dispose();
    const { kvHeads, headDim } = this.#config;
    const empty = () => new this.#ort.Tensor("float32", new Float32Array(0), [1, kvHeads, 0, headDim]);
    this.#past = Object.fromEntries(presentNames(this.#config).map((present) => [pastOf(present), empty()]));
    this.#length = 0;
  }

  /** Tokens behind those fed before; the id that follows. */
  async feed(ids: readonly number[]): Promise<number> {
    const { Tensor } = this.#ort;
    this.#length += ids.length;
    const outputs = await this.#session.run({
      input_ids: new Tensor("int64", BigInt64Array.from(ids, BigInt), [1, ids.length]),
      seqlens_k: new Tensor("int32", Int32Array.of(this.#length - 1), [1]),
      total_sequence_length: new Tensor("int32", Int32Array.of(this.#length), [1]),
      ...this.#past,
    });
    for (const tensor of Object.values(this.#past)) tensor.dispose();
    const present = presentNames(this.#config);
    this.#past = Object.fromEntries(present.map((key) => [pastOf(key), outputs[key]!]));
    const logits = this.#session.outputNames.find((key) => !present.includes(key))!;
    return largest(outputs[logits]!.data);
  }
}

function presentNames({ layers }: ModelConfig): string[] {
  return Array.from({ length: layers }, (_, i) => [`present.${i}.key`, `present.${i}.value`]).flat();
}

function pastOf(present: string): string {
  return present.replace("present", "past_key_values");
}

function largest(logits: Float32Array): number {
  let best = 0;
  for (let i = 1; i < logits.length; i += 1) if (logits[i]! > logits[best]!) best = i;
  return best;
}

function modelOf(config: ModelConfig, folder: string): string {
  const beside = join(folder, "onnx-q4");
  const path = join(beside, "model.onnx");
  if (existsSync(path)) return path;
  mkdirSync(beside, { recursive: true });
  return qwen3Graph(config).save(beside);
}

async function load(): Promise<Onnxruntime> {
  const module = (await importPeer("onnxruntime-node")) as { default?: Onnxruntime } & Onnxruntime;
  return module.default ?? module;
}

/** `onDevice`: outputs that stay there. */
function open(ort: Onnxruntime, path: string, onDevice: readonly string[]): Promise<Session> {
  return ort.InferenceSession.create(path, {
    executionProviders: ["webgpu"],
    graphOptimizationLevel: "all",
    ...(onDevice.length > 0 && {
      preferredOutputLocation: Object.fromEntries(onDevice.map((key) => [key, "gpu-buffer"])),
    }),
  });
}
