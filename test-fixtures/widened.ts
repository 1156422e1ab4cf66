// A qwen3_5 checkpoint's language model with a wider residual stream, whose new channels are always 0: it computes the same,
// but all of its rows are whole blocks of 256, which the demo model's are not.
//   y = x / √(Σx²/C + ε) · w   is the same with C' channels, w' = w · √(C/C') and ε' = ε · C/C'
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { openCheckpoint, type Checkpoint } from "../engine/formats/checkpoint.ts";
import { f32ToBf16 } from "../engine/formats/halves.ts";
import { writeSafetensors, type TensorSource } from "../engine/formats/write.ts";

type Json = Readonly<Record<string, unknown>>;

/** Writes config.json and model.safetensors (bf16, norms in f32) into `to`. The vision tower stays behind. */
export async function widen(from: string, to: string, width: number): Promise<void> {
  const checkpoint = await openCheckpoint(from);
  const text = checkpoint.config["text_config"] as Json;
  const C = text["hidden_size"] as number;
  const eps = (text["rms_norm_eps"] as number) * (C / width);
  await mkdir(to, { recursive: true });
  const text_config = { ...text, hidden_size: width, rms_norm_eps: eps };
  const config = { ...checkpoint.config, text_config, vision_config: undefined };
  await writeFile(join(to, "config.json"), JSON.stringify(config));
  const names = checkpoint.names.filter((name) => !name.includes("visual."));
  const tensors = names.map((name) => widened(checkpoint, name, C, width));
  await writeSafetensors(join(to, "model.safetensors"), await Promise.all(tensors));
  await checkpoint.close();
}

async function widened(checkpoint: Checkpoint, name: string, C: number, width: number): Promise<TensorSource> {
  const { shape } = checkpoint.entry(name);
  const values = await checkpoint.readF32(name);
  if (shape.length === 1 && /layernorm|[^_]norm\.weight/.test(name) && shape[0] === C) {
    const data = new Float32Array(width);
    data.set(values.map((value) => (1 + value) * Math.sqrt(C / width) - 1)); // stored minus one
    return { name, dtype: "F32", shape: [width], data };
  }
  if (shape.length !== 2) return { name, dtype: "F32", shape, data: values };
  const [rows, K] = shape as [number, number];
  const [into, of] = [rows === C ? width : rows, K === C ? width : K];
  const data = new Float32Array(into * of);
  for (let row = 0; row < rows; row++) data.set(values.subarray(row * K, (row + 1) * K), row * of);
  return { name, dtype: "BF16", shape: [into, of], data: f32ToBf16(data) };
}
