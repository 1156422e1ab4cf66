// A checkpoint as one rank sees it: every tensor is the rank's part of it, and the loader does not notice. Rows are read
// where they lie; of tensors cut by columns whole rows pass through memory, for a rank's columns of a row are shorter
// than what a disk reads at once.
import { blockFormats, isBlockType } from "../formats/blocks/format.ts";
import { weightDtype, type RowSink, type TensorSource } from "../formats/checkpoint.ts";
import type { TensorEntry } from "../formats/header.ts";
import { elements } from "../gpu/tensor.ts";
import { EngineError } from "../errors.ts";
import type { RankShare, Slice } from "./slices.ts";
import { length, shifted, type Span } from "./split.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** Errors of its methods: as the checkpoint's; unsupported_model where a cut falls within a block. */
export function sliced(whole: TensorSource, { sliceOf }: Pick<RankShare, "sliceOf">): TensorSource {
  const entry = (name: string) => partOf(whole.entry(name), sliceOf(name));
  return {
    ...{
      format: whole.format,
      quant: whole.quant,
      folder: whole.folder,
      has: (name) => whole.has(name),
      entry,
    },
    expectTensor(name, shape) {
      whole.expectTensor(name, wholeShape(shape, sliceOf(name)));
      return entry(name);
    },
    async readF32(name) {
      const values = await whole.readF32(name);
      const slice = sliceOf(name);
      return slice ? valuesOf(values, whole.entry(name).shape, slice) : values;
    },
    async stream(name, options, sink) {
      const slice = sliceOf(name);
      if (!slice) return whole.stream(name, options, sink);
      const { rows = [0, rowsOf(entry(name), slice)], chunkBytes } = options;
      const cut = slice.columns ? columnCutter(whole.entry(name), slice.columns.spans, sink) : sink;
      for (const { span, at } of within(rowSpans(whole.entry(name), slice), rows)) {
        const toPart: RowSink = (chunk, row) => cut(chunk, at + row - span.from);
        await whole.stream(
          name,
          { rows: [span.from, span.to], ...(chunkBytes !== undefined && { chunkBytes }) },
          toPart,
        );
      }
    },
  };
}

/** Shape and bytes of a part. */
function partOf(entry: TensorEntry, slice: Slice | undefined): TensorEntry {
  if (!slice) return entry;
  const shape = [...entry.shape];
  if (slice.rows) shape[rowAxis(slice)] = total(slice.rows.spans);
  if (slice.columns) {
    for (const span of slice.columns.spans) checkBlocks(entry, span);
    shape[rowAxis(slice) + 1] = total(slice.columns.spans);
  }
  return { ...entry, shape, bytes: (entry.bytes / elements(entry.shape)) * elements(shape) };
}

/** What the whole must be for its part to have this shape. */
function wholeShape(shape: readonly number[], slice: Slice | undefined): number[] {
  const whole = [...shape];
  if (slice?.rows) whole[rowAxis(slice)] = slice.rows.of;
  if (slice?.columns) whole[rowAxis(slice) + 1] = slice.columns.of;
  return whole;
}

function rowAxis({ stack }: Slice): 0 | 1 {
  return stack === undefined ? 0 : 1;
}

/** Of a tensor, those of all that are stacked in it counted together. */
function rowsOf({ shape }: TensorEntry, slice: Slice): number {
  return (slice.stack ?? 1) * shape[rowAxis(slice)]!;
}

/** The rows of the whole that a part has. */
function rowSpans(whole: TensorEntry, slice: Slice): readonly Span[] {
  const { rows, stack = 1 } = slice;
  if (!rows) return [{ from: 0, to: rowsOf(whole, slice) }];
  return Array.from({ length: stack }, (_, i) => rows.spans.map((span) => shifted(span, i * rows.of))).flat();
}

/** The pieces of a part's rows [from, to): where they lie in the whole, and their first row in the part. */
function within(spans: readonly Span[], [from, to]: readonly [number, number]): { span: Span; at: number }[] {
  const pieces: { span: Span; at: number }[] = [];
  let at = 0;
  for (const span of spans) {
    const first = Math.max(from, at);
    const end = Math.min(to, at + length(span));
    if (first < end)
      pieces.push({ span: { from: span.from + first - at, to: span.from + end - at }, at: first });
    at += length(span);
  }
  return pieces;
}

function columnCutter(entry: TensorEntry, spans: readonly Span[], sink: RowSink): RowSink {
  const { values, bytes } = unitOf(entry);
  const rowBytes = (entry.shape.at(-1)! / values) * bytes;
  const cuts = spans.map(({ from, to }) => [(from / values) * bytes, (to / values) * bytes] as const);
  const width = cuts.reduce((sum, [from, to]) => sum + to - from, 0);
  return (chunk, row) => {
    const rows = chunk.length / rowBytes;
    const part: Bytes = new Uint8Array(rows * width);
    let at = 0;
    for (let r = 0; r < rows; r += 1)
      for (const [from, to] of cuts) {
        part.set(chunk.subarray(r * rowBytes + from, r * rowBytes + to), at);
        at += to - from;
      }
    return sink(part, row);
  };
}

/** How many values of a row make how many bytes. */
function unitOf(entry: TensorEntry): { values: number; bytes: number } {
  const dtype = weightDtype(entry);
  if (isBlockType(dtype)) return blockFormats[dtype];
  return { values: 1, bytes: dtype === "F32" ? 4 : 2 };
}

function checkBlocks(entry: TensorEntry, span: Span): void {
  const { values } = unitOf(entry);
  if (span.from % values === 0 && span.to % values === 0) return;
  const where = `columns ${span.from} to ${span.to - 1} of ${entry.name}`;
  const why = `are not whole ${entry.dtype} blocks of ${values}; another number or weighting of devices may fit`;
  throw new EngineError("unsupported_model", `${where} ${why}`);
}

function valuesOf(values: Float32Array<ArrayBuffer>, shape: readonly number[], { rows, columns }: Slice) {
  if (columns) throw new Error("a small tensor that is cut by columns");
  const width = elements(shape) / shape[0]!;
  const part = new Float32Array(total(rows!.spans) * width);
  let at = 0;
  for (const { from, to } of rows!.spans) {
    part.set(values.subarray(from * width, to * width), at);
    at += (to - from) * width;
  }
  return part;
}

function total(spans: readonly Span[]): number {
  return spans.reduce((sum, span) => sum + length(span), 0);
}
