// Making weights: rows are packed in shards that fit one binding, so that a head of 2.5 GB works where only
// 128 MiB may be bound. Shards hold a multiple of 8 rows, so that pairs of interleaved rows stay together.
import { EngineError } from "../errors.ts";
import type { Gpu } from "./adapter.ts";
import {
  allocated,
  createBuffer,
  isBlockFormat,
  isTexture,
  weightRowBytes,
  type Shard,
  type Weight,
  type WeightFormat,
} from "./tensor.ts";
import { createTiles, fitsTiles, gatheredRows, likesTiles, tileLayout } from "./tiles.ts";
import { writeTiles } from "./tileWriter.ts";

const rowGroup = 8;

/** Rows of one format, one below the other. */
export interface Section {
  readonly rows: number;
  readonly format: WeightFormat;
}

export interface ShardOptions {
  /** The most bytes of a shard; default: what the device binds. */
  readonly limit?: number;
  /** In as few shards as there can be, however long it takes to write them. */
  readonly whole?: boolean;
}

/**
 * An unwritten weight W [N, K], of one format or of sections with one each; no shard holds rows of two.
 */
export function createWeight(
  gpu: Gpu,
  label: string,
  [N, K]: readonly [number, number],
  format: WeightFormat | readonly Section[],
  options: ShardOptions = {},
): Weight {
  const sections = typeof format === "string" ? [{ rows: N, format }] : format;
  const shards: Shard[] = [];
  let first = 0;
  for (const section of sections) {
    shards.push(...sectionShards(gpu, label, first, section, K, options));
    first += section.rows;
  }
  if (first !== N) throw new Error(`${label}: sections of ${first} rows for ${N}`);
  return { shape: [N, K], shards };
}

function sectionShards(
  gpu: Gpu,
  label: string,
  first: number,
  { rows, format }: Section,
  K: number,
  { limit = gpu.limits.maxStorageBufferBindingSize, whole = false }: ShardOptions,
): Shard[] {
  const rowBytes = weightRowBytes(format, K);
  if (rowBytes % 4 !== 0) {
    throw new EngineError(
      "unsupported_model",
      `${label}: rows of ${K} ${format} values are not whole 32-bit words`,
    );
  }
  const fitting = Math.floor(limit / (rowBytes * rowGroup)) * rowGroup;
  if (fitting === 0)
    throw new EngineError("out_of_memory", `${label}: ${rowGroup} rows of ${rowBytes} bytes`);
  const inTiles = likesTiles(gpu) && fitsTiles(rowBytes);
  // Of blocks a load takes far longer to repack them than to write them, and each shard is a dispatch a token.
  const gathered = inTiles && !whole && !isBlockFormat(format);
  const most = gathered ? Math.min(fitting, gatheredRows(rowBytes)) : fitting;
  return Array.from({ length: Math.ceil(rows / most) }, (_, i) => {
    const firstRow = first + i * most;
    const count = Math.min(most, rows - i * most);
    const name = `${label}[${firstRow}]`;
    const place = inTiles
      ? allocated(createTiles(gpu, name, tileLayout(format, K, count)))
      : createBuffer(gpu, name, count * rowBytes);
    return { firstRow, rows: count, format, place };
  });
}

/** Writes whole rows from `firstRow` on, none beyond its section; `bytes` are in that section's format. */
export function writeRows(gpu: Gpu, weight: Weight, firstRow: number, bytes: Uint8Array): void {
  const { format } = shardOf(weight, firstRow);
  const rowBytes = weightRowBytes(format, weight.shape[1]);
  const end = firstRow + bytes.byteLength / rowBytes;
  if (!Number.isInteger(end) || end > weight.shape[0]) throw new Error(`rows ${firstRow} to ${end}`);
  for (const shard of weight.shards) {
    const from = Math.max(firstRow, shard.firstRow);
    const to = Math.min(end, shard.firstRow + shard.rows);
    if (from >= to) continue;
    if (shard.format !== format)
      throw new Error(`rows ${firstRow} to ${end} are ${format} and ${shard.format}`);
    const part = bytes.subarray((from - firstRow) * rowBytes, (to - firstRow) * rowBytes);
    writePart(gpu, shard, from - shard.firstRow, part, weight.shape[1]);
  }
}

function writePart(
  gpu: Gpu,
  { place, format, rows }: Shard,
  row: number,
  bytes: Uint8Array,
  K: number,
): void {
  if (isTexture(place)) writeTiles(gpu, place, row, bytes, tileLayout(format, K, rows));
  else gpu.device.queue.writeBuffer(place, row * weightRowBytes(format, K), unshared(bytes));
}

let plain = new Uint8Array(0);

/** Dawn takes no shared memory: a copy, until the next one. */
function unshared(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  if (!(bytes.buffer instanceof SharedArrayBuffer)) return bytes as Uint8Array<ArrayBuffer>;
  if (plain.length < bytes.length) plain = new Uint8Array(bytes.length);
  plain.set(bytes);
  return plain.subarray(0, bytes.length);
}

function shardOf({ shards, shape }: Weight, row: number): Shard {
  const shard = shards.find(({ firstRow, rows }) => row >= firstRow && row < firstRow + rows);
  if (!shard) throw new Error(`row ${row} of ${shape[0]}`);
  return shard;
}

/** Rows from … to − 1 as a weight of their own, in the same places; they are whole shards. */
export function rowsOf({ shape: [N, K], shards }: Weight, from: number, to: number): Weight {
  const within = shards.filter(({ firstRow, rows }) => firstRow >= from && firstRow + rows <= to);
  const count = within.reduce((sum, { rows }) => sum + rows, 0);
  if (count !== to - from) throw new Error(`rows ${from} to ${to} of ${N} are not whole shards`);
  return {
    shape: [count, K],
    shards: within.map((shard) => ({ ...shard, firstRow: shard.firstRow - from })),
  };
}
