// Weights read back from the device, be they in buffers or in tiles, whose order is undone value by value.
import type { Gpu } from "../engine/gpu/adapter.ts";
import { readBytes } from "../engine/gpu/readback.ts";
import { createBuffer, isTexture, weightRowBytes, type Shard } from "../engine/gpu/tensor.ts";
import { runQuads } from "../engine/gpu/tiles.ts";

/** A shard's rows, one behind another. */
export async function shardBytes(gpu: Gpu, shard: Shard, K: number): Promise<Uint8Array<ArrayBuffer>> {
  const rowBytes = weightRowBytes(shard.format, K);
  const { place, rows } = shard;
  if (!isTexture(place)) return new Uint8Array(await readBytes(gpu, place, rows * rowBytes));
  const { width, height } = place;
  const buffer = createBuffer(gpu, "tiles", 16 * width * height);
  const encoder = gpu.device.createCommandEncoder();
  encoder.copyTextureToBuffer({ texture: place }, { buffer, bytesPerRow: 16 * width }, [width, height]);
  gpu.device.queue.submit([encoder.finish()]);
  const held = new Uint8Array(await readBytes(gpu, buffer, buffer.size));
  buffer.destroy();
  return untiled(held, rows, rowBytes, 16 * runQuads(shard.format));
}

/** Rows out of tiles of 32, whose rows lie in runs of `run` bytes. */
export function untiled(held: Uint8Array, rows: number, rowBytes: number, run: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length: rows * rowBytes }, (_, i) => {
    const [row, byte] = [Math.floor(i / rowBytes), i % rowBytes];
    const begin = byte - (byte % run);
    const width = Math.min(run, rowBytes - begin);
    return held[(row - (row % 32)) * rowBytes + 32 * begin + (row % 32) * width + (byte - begin)]!;
  });
}
