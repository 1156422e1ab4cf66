// A graph in the making: nodes and weights by name, the weights' bytes in a file beside it. Values are random and small:
// speed does not depend on them.
import { closeSync, openSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { f32ToF16 } from "../../../engine/formats/halves.ts";
import {
  modelProto,
  type Constant,
  type ElementType,
  type Initializer,
  type Node,
  type ValueInfo,
} from "./proto.ts";

/**
 * How the weights of matrices are kept. q4: 4 bits, blocks of 32 with a scale and the zero point 8, as Q4_0 has; q4_i8: the
 * same, and what they are multiplied with is rounded to 8 bits, as ours is.
 */
export type MatrixFormat = "f32" | "f16" | "q4" | "q4_i8";

const roundedToBytes = 4; // accuracy_level of MatMulNBits: int8 is as good as it has to be

const blockSize = 32;

const elementBytes: Readonly<Record<ElementType, number>> = { f32: 4, i32: 4, f16: 2, u8: 1, i64: 8 };

export class GraphBuilder {
  readonly nodes: Node[] = [];
  readonly inputs: ValueInfo[] = [];
  readonly outputs: ValueInfo[] = [];
  readonly #initializers: Initializer[] = [];
  readonly #constants: Constant[] = [];
  #bytes = 0;
  #named = 0;

  /** A node; returns its first output. */
  add(op: string, inputs: readonly string[], node: Partial<Node> = {}): string {
    const outputs = node.outputs ?? [this.name(op)];
    this.nodes.push({ op, inputs, ...node, outputs });
    return outputs[0]!;
  }

  /** One that no other value has. */
  name(kind: string): string {
    return `${kind}_${this.#named++}`;
  }

  /** A weight that save() fills; returns its name. */
  weight(name: string, type: ElementType, shape: readonly number[]): string {
    const bytes = shape.reduce((product, size) => product * size, elementBytes[type]);
    this.#initializers.push({ name, type, shape, offset: this.#bytes, bytes });
    this.#bytes += Math.ceil(bytes / 4096) * 4096;
    return name;
  }

  /** A constant list of integers, a shape or an index. */
  constant(...values: number[]): string {
    const name = this.name("constant");
    this.#constants.push({ name, values });
    return name;
  }

  /** y = x Wᵀ for W of [N, K]. `half`: x and y are f16. */
  matmul(
    x: string,
    name: string,
    [N, K]: readonly [number, number],
    format: MatrixFormat,
    half = false,
  ): string {
    if (format === "f32" || format === "f16")
      return this.add("MatMul", [x, this.weight(name, format, [K, N])]);
    const blocks = K / blockSize;
    const weights = this.weight(`${name}.q4`, "u8", [N, blocks, blockSize / 2]);
    const scales = this.weight(`${name}.scales`, half ? "f16" : "f32", [N * blocks]);
    const rounding = format === "q4_i8" ? { accuracy_level: roundedToBytes } : {};
    const ints = { K, N, bits: 4, block_size: blockSize, ...rounding };
    return this.add("MatMulNBits", [x, weights, scales], { domain: "com.microsoft", ints });
  }

  /** Writes model.onnx and its weights; returns the path. */
  save(folder: string): string {
    const weights = "model.weights";
    const file = openSync(join(folder, weights), "w");
    try {
      for (const initializer of this.#initializers) writeInitializer(file, initializer);
    } finally {
      closeSync(file);
    }
    const path = join(folder, "model.onnx");
    const { inputs, outputs, nodes } = this;
    const tensors = { initializers: this.#initializers, constants: this.#constants };
    writeFileSync(path, modelProto({ inputs, outputs, nodes, ...tensors }, weights));
    return path;
  }
}

const chunkValues = 1 << 20;
const floats = Float32Array.from({ length: chunkValues }, (_, i) => ((i * 7919) % 1009) / 25_000 - 0.02);
const halves = f32ToF16(floats);
const nibbles = Uint8Array.from({ length: chunkValues }, (_, i) => (i * 7919) % 251);

function writeInitializer(file: number, { type, offset, bytes }: Initializer): void {
  const source = type === "f32" ? floats : type === "f16" ? halves : nibbles;
  const block = Buffer.from(source.buffer, source.byteOffset, source.byteLength);
  for (let done = 0; done < bytes; done += block.length)
    writeSync(file, block, 0, Math.min(block.length, bytes - done), offset + done);
}
