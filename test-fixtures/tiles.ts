// Weights read back from the device, be they in buffers or in tiles, whose order is undone value by value.
import type { Gpu } from "../engine/gpu/adapter.ts";
import { readBytes } from "../engine/gpu/readback.ts";
import { createBuffer, isTexture, weightRowBytes, type Shard } from "../engine/gpu/tensor.ts";
import { tileLayout, type TileLayout } from "../engine/gpu/tiles.ts";

/** A shard's rows, one behind another. */
export async function shardBytes(gpu: Gpu, shard: Shard, K: number): Promise<Uint8Array<ArrayBuffer>> {
  const { place, rows, format } = shard;
  if (!isTexture(place))
    return new Uint8Array(await readBytes(gpu, place, rows * weightRowBytes(format, K)));
  const { width, height } = place;
  const buffer = createBuffer(gpu, "tiles", 16 * width * height);
  const encoder = gpu.device.createCommandEncoder();
  encoder.copyTextureToBuffer({ texture: place }, { buffer, bytesPerRow: 16 * width }, [width, height]);
  gpu.device.queue.submit([encoder.finish()]);
  const held = new Uint8Array(await readBytes(gpu, buffer, buffer.size));
  buffer.destroy();
  return untiled(held, rows, tileLayout(format, K, rows));
}

/** Rows out of tiles. */
export function untiled(
  held: Uint8Array,
  rows: number,
  { rowBytes, height, side, stretches }: TileLayout,
): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length: rows * rowBytes }, (_, i) => {
    const [row, byte] = [Math.floor(i / rowBytes), i % rowBytes];
    const stretch = stretches.find(({ end }) => byte < 16 * end)!;
    const within = (byte - 16 * stretch.from) % (16 * stretch.run);
    const begin = byte - within;
    const width = Math.min(16 * stretch.run, 16 * stretch.end - begin);
    const [inside, beside, quad] = [row % height, row % side, within - (within % 16)];
    const place = (inside - beside) * width + side * quad + 16 * beside + (within % 16);
    return held[(row - inside) * rowBytes + height * begin + place]!;
  });
}
