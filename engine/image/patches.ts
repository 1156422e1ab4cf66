// From pixels to the rows that the tower's first matrix reads.
import type { ImageSettings } from "./settings.ts";
import type { Size } from "./smartResize.ts";

const channels = 3;

/** Patches of a picture: frames (always 1), rows, columns. */
export type Grid = readonly [frames: 1, rows: number, columns: number];

export function gridOf({ height, width }: Size, { patch }: ImageSettings): Grid {
  return [1, height / patch, width / patch];
}

/** Tokens of the language model that a picture takes. */
export function tokensOf([, rows, columns]: Grid, { merge }: { merge: number }): number {
  return (rows * columns) / merge ** 2;
}

/**
 * rgb: [height, width, 3] bytes → [N, 3 · frames · patch²], N = rows · columns of the grid.
 * A row is one patch, [channel][frame][y][x], values (v / 255 − mean) / std, the one frame repeated.
 * Patches go block by block, and in a block of merge × merge row by row: the rows of one token are neighbours.
 */
export function patchRows(rgb: Uint8Array, size: Size, settings: ImageSettings): Float32Array<ArrayBuffer> {
  const { patch, frames, merge } = settings;
  const [, rows, columns] = gridOf(size, settings);
  const area = patch * patch;
  const out = new Float32Array(rows * columns * channels * frames * area);
  const tables = [0, 1, 2].map((channel) => normalised(settings.mean[channel]!, settings.std[channel]!));
  let at = 0;
  for (const [row, column] of patchOrder(rows, columns, merge)) {
    for (let channel = 0; channel < channels; channel += 1) {
      const table = tables[channel]!;
      const start = at;
      for (let y = 0; y < patch; y += 1) {
        let from = ((row * patch + y) * size.width + column * patch) * channels + channel;
        for (let x = 0; x < patch; x += 1, from += channels) out[at++] = table[rgb[from]!]!;
      }
      for (let frame = 1; frame < frames; frame += 1, at += area) out.copyWithin(at, start, start + area);
    }
  }
  return out;
}

/** (row, column) of every patch in the tower's order. */
export function* patchOrder(
  rows: number,
  columns: number,
  merge: number,
): Generator<[row: number, column: number]> {
  for (let top = 0; top < rows; top += merge) {
    for (let left = 0; left < columns; left += merge) {
      for (let row = top; row < top + merge; row += 1) {
        for (let column = left; column < left + merge; column += 1) yield [row, column];
      }
    }
  }
}

/** What each byte becomes, in the reference's order of operations: (v − 255·mean) / (255·std) in f32. */
function normalised(mean: number, std: number): Float32Array {
  const f32 = Math.fround;
  return Float32Array.from({ length: 256 }, (_, v) => f32(v - f32(f32(mean) * 255)) / f32(f32(std) * 255));
}
