// Making weights: rows are packed in shards that fit one binding, so that a head of 2.5 GB works where only
// 128 MiB may be bound. Shards hold a multiple of 8 rows, so that pairs of interleaved rows stay together.
import { EngineError } from "../errors.ts";
import type { Gpu } from "./adapter.ts";
import { createBuffer, weightBytes, type Shard, type Weight, type WeightFormat } from "./tensor.ts";

const rowGroup = 8;

/** An unwritten weight W [N, K]. `limit` is the most bytes of a shard (default: what the device binds). */
export function createWeight(
  gpu: Gpu,
  label: string,
  shape: readonly [number, number],
  format: WeightFormat,
  limit = gpu.limits.maxStorageBufferBindingSize,
): Weight {
  const [N, K] = shape;
  const rowBytes = K * weightBytes[format];
  if (rowBytes % 4 !== 0) {
    throw new EngineError(
      "unsupported_model",
      `${label}: rows of ${K} ${format} values are not whole 32-bit words`,
    );
  }
  const rowsPerShard = Math.floor(limit / (rowBytes * rowGroup)) * rowGroup;
  if (rowsPerShard === 0)
    throw new EngineError("out_of_memory", `${label}: ${rowGroup} rows of ${rowBytes} bytes`);
  const shards: Shard[] = [];
  for (let firstRow = 0; firstRow < N; firstRow += rowsPerShard) {
    const rows = Math.min(rowsPerShard, N - firstRow);
    shards.push({ firstRow, rows, buffer: createBuffer(gpu, `${label}[${firstRow}]`, rows * rowBytes) });
  }
  return { shape, format, shards };
}

/** Writes whole rows from `firstRow` on; `bytes` are in the weight's own format. */
export function writeRows(gpu: Gpu, weight: Weight, firstRow: number, bytes: Uint8Array): void {
  const rowBytes = weight.shape[1] * weightBytes[weight.format];
  const end = firstRow + bytes.byteLength / rowBytes;
  if (!Number.isInteger(end) || end > weight.shape[0]) throw new Error(`rows ${firstRow} to ${end}`);
  for (const shard of weight.shards) {
    const from = Math.max(firstRow, shard.firstRow);
    const to = Math.min(end, shard.firstRow + shard.rows);
    if (from >= to) continue;
    const part = bytes.subarray((from - firstRow) * rowBytes, (to - firstRow) * rowBytes);
    gpu.device.queue.writeBuffer(
      shard.buffer,
      (from - shard.firstRow) * rowBytes,
      part as Uint8Array<ArrayBuffer>,
    );
  }
}
