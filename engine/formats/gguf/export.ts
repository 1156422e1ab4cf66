// A checkpoint of safetensors → a GGUF file with the same model: for tests, and for the bench, whose peers read nothing
// else. Everything that llama.cpp's conversion changes is changed (names.ts); memory stays flat.
import { blockFormats, isBlockType, type BlockType } from "../blocks/format.ts";
import { maxChunkBytes, weightDtype, type Checkpoint, type WeightDtype } from "../checkpoint.ts";
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from "../halves.ts";
import { quantise } from "../quantise/quantise.ts";
import { inPairs } from "../rows.ts";
import { metadataOf, type ExportedText } from "./metadata.ts";
import { nameRules, type NameRule } from "./names.ts";
import { shapeOf, type ExportShape } from "./shape.ts";
import { writeGguf, type GgufTensorSource } from "./write.ts";

export interface ExportOptions extends ExportedText {
  /** What matrices are stored as; those whose rows are not whole blocks of it fall back to F16. Default: as they are. */
  readonly dtype?: WeightDtype;
}

/** Errors: as the checkpoint's; unsupported_model for a family, or a tokenizer, that GGUF has no name for here. */
export async function exportGguf(
  checkpoint: Checkpoint,
  path: string,
  options: ExportOptions = {},
): Promise<void> {
  const shape = shapeOf(checkpoint);
  const tensors: GgufTensorSource[] = [];
  for (const rule of nameRules(shape.architecture, shape.layers)) {
    const name = rule.hf.replace(/^model\./, shape.prefix);
    if (checkpoint.has(name)) tensors.push(source(checkpoint, name, rule, shape, options.dtype));
  }
  if (shape.ropeFactors) {
    const data = Float32Array.from(shape.ropeFactors);
    tensors.push({ name: "rope_freqs.weight", dtype: "F32", shape: [data.length], data });
  }
  await writeGguf(path, metadataOf(checkpoint, shape, options), tensors);
}

function source(
  checkpoint: Checkpoint,
  name: string,
  rule: NameRule,
  shape: ExportShape,
  wanted: WeightDtype | undefined,
): GgufTensorSource {
  const entry = checkpoint.entry(name);
  const squeezed =
    rule.change === "squeezed" ? entry.shape.filter((size, i) => i !== 1 || size !== 1) : entry.shape;
  const matrix = squeezed.length === 2 && rule.change !== "squeezed";
  const from = weightDtype(entry);
  const dtype = matrix ? storable(wanted ?? from, squeezed[1]!) : "F32";
  const data = () => piecesOf(checkpoint, name, rule, shape, dtype);
  return { name: rule.gguf, dtype, shape: squeezed, data };
}

function storable(dtype: WeightDtype, K: number): WeightDtype {
  return isBlockType(dtype) && K % blockFormats[dtype].values !== 0 ? "F16" : dtype;
}

/** The tensor's bytes as the file shall have them, some rows at a time. */
async function* piecesOf(
  checkpoint: Checkpoint,
  name: string,
  rule: NameRule,
  shape: ExportShape,
  dtype: WeightDtype,
): AsyncGenerator<Uint8Array> {
  const entry = checkpoint.entry(name);
  const from = weightDtype(entry);
  const rows = entry.shape[0] ?? 1;
  const K = entry.shape.slice(1).reduce((product, size) => product * size, 1);
  const pairs = rule.change === "pairs" ? shape.headDim : 1;
  for (const [first, end] of rangesOf(
    rule,
    rows,
    pairs * Math.max(1, Math.floor(maxChunkBytes / (4 * K * pairs))),
    shape,
  )) {
    const values = changed(rule, await readRows(checkpoint, name, from, first, end), shape);
    const bytes = stored(dtype, K, values);
    yield pairs === 1 ? bytes : inPairs(bytes, bytes.length / (end - first), pairs);
  }
}

/** Which rows follow one another: at most `step` at a time, and heads in the order of GGUF. */
function* rangesOf(
  rule: NameRule,
  rows: number,
  step: number,
  shape: ExportShape,
): Generator<[number, number]> {
  if (!shape.tiled || (rule.tiled !== "rows" && rule.tiled !== "tail")) return yield* stepped(0, rows, step);
  const { keyHeads, valueHeads, keyDim } = shape.tiled;
  const head = rule.tiled === "tail" ? 2 * keyHeads * keyDim : 0;
  yield* stepped(0, head, step);
  const unit = (rows - head) / valueHeads;
  for (let h = 0; h < valueHeads; h++) {
    const at = head + groupedHead(h, keyHeads, valueHeads) * unit;
    yield* stepped(at, at + unit, step);
  }
}

/** Where the checkpoint has the head that GGUF has at h. */
function groupedHead(h: number, keyHeads: number, valueHeads: number): number {
  return (h % keyHeads) * (valueHeads / keyHeads) + Math.floor(h / keyHeads);
}

function* stepped(from: number, to: number, step: number): Generator<[number, number]> {
  for (let at = from; at < to; at += step) yield [at, Math.min(to, at + step)];
}

async function readRows(
  checkpoint: Checkpoint,
  name: string,
  from: WeightDtype,
  first: number,
  end: number,
): Promise<Float32Array<ArrayBuffer>> {
  const parts: Uint8Array[] = [];
  if (checkpoint.entry(name).shape.length !== 2) parts.push(await checkpoint.read(name));
  else await checkpoint.stream(name, { rows: [first, end] }, (chunk) => void parts.push(chunk.slice()));
  const { buffer } = Uint8Array.from(Buffer.concat(parts));
  const values =
    from === "F32"
      ? new Float32Array(buffer)
      : from === "BF16"
        ? bf16ToF32(new Uint16Array(buffer))
        : f16ToF32(new Uint16Array(buffer));
  if (checkpoint.entry(name).shape.length === 2) return values;
  const width = values.length / (checkpoint.entry(name).shape[0] ?? 1);
  return values.slice(first * width, end * width);
}

function changed(
  rule: NameRule,
  values: Float32Array<ArrayBuffer>,
  shape: ExportShape,
): Float32Array<ArrayBuffer> {
  if (rule.change === "plus one") return values.map((value) => value + 1);
  if (rule.change === "negative exp") return values.map((value) => -Math.exp(value));
  if (rule.tiled !== "columns" || !shape.tiled) return values;
  const { keyHeads, valueHeads, valueDim } = shape.tiled;
  const K = valueHeads * valueDim;
  return values.map((_, i) => {
    const k = i % K;
    const h = Math.floor(k / valueDim);
    return values[i - k + groupedHead(h, keyHeads, valueHeads) * valueDim + (k % valueDim)]!;
  });
}

function stored(dtype: WeightDtype, K: number, values: Float32Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  if (dtype === "F32") return new Uint8Array(values.buffer);
  if (dtype === "F16") return new Uint8Array(f32ToF16(values).buffer);
  if (dtype === "BF16") return new Uint8Array(f32ToBf16(values).buffer);
  return quantise(dtype satisfies BlockType, K, values);
}
