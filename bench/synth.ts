// synth: a checkpoint of a released shape with random weights, written at the disk's speed.
//   npm run bench -- synth qwen3.5-0.8b /tmp/qwen3.5-0.8b
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { f32ToBf16 } from "../engine/formats/halves.ts";
import { writeSafetensors, type TensorSpec } from "../engine/formats/write.ts";
import { shapeConfig, tensorsOf } from "./shapes.ts";

const blockValues = 1 << 20;

/** Writes config.json and model.safetensors; returns the bytes of the weights. */
export async function synth(shape: string, folder: string): Promise<number> {
  const config = shapeConfig(shape);
  const tensors = tensorsOf(config);
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "config.json"), JSON.stringify(config, undefined, 2));
  const block = randomBlock();
  const sources = tensors.map((tensor) => ({ ...tensor, data: () => values(tensor, block) }));
  await writeSafetensors(join(folder, "model.safetensors"), sources);
  return tensors.reduce((sum, tensor) => sum + bytesOf(tensor), 0);
}

/** Small values around 0, as trained weights are: nothing overflows, nothing is denormal. */
function randomBlock(): Uint16Array<ArrayBuffer> {
  let seed = 12_345;
  const floats = Float32Array.from({ length: blockValues }, () => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
    return (seed / 2 ** 32 - 0.5) * 0.04;
  });
  return f32ToBf16(floats);
}

function* values(tensor: TensorSpec, block: Uint16Array<ArrayBuffer>): Generator<ArrayBufferView> {
  if (tensor.dtype === "F32") {
    yield new Float32Array(bytesOf(tensor) / 4).fill(0.5);
    return;
  }
  for (let left = bytesOf(tensor) / 2; left > 0; left -= block.length)
    yield block.subarray(0, Math.min(left, block.length));
}

function bytesOf({ dtype, shape }: TensorSpec): number {
  return shape.reduce((product, size) => product * size, dtype === "F32" ? 4 : 2);
}
