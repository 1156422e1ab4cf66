// What a patch's place in its picture makes, computed on the host in f32 step by step as the reference does: where it
// lies in the learned grid, and by which angles its queries and keys turn. All in the tower's order of patches.
import { patchOrder } from "../image/patches.ts";

const f32 = Math.fround;

/** Where the tower's rows come from. */
export interface PatchGrid {
  rows: number;
  columns: number;
  /** Patches on each side of a token. */
  merge: number;
}

/**
 * The picture is laid over the learned side × side grid, corner on corner; a patch takes from the four places around
 * its own.   corners: [N, 4], row · side + column, (top, left), (top, right), (bottom, left), (bottom, right)
 */
export function positionCorners(
  { rows, columns, merge }: PatchGrid,
  side: number,
): { corners: Uint32Array<ArrayBuffer>; weights: Float32Array<ArrayBuffer> } {
  const corners = new Uint32Array(4 * rows * columns);
  const weights = new Float32Array(4 * rows * columns);
  const [down, across] = [evenly(side, rows), evenly(side, columns)];
  let at = 0;
  for (const [row, column] of patchOrder(rows, columns, merge)) {
    const [top, left] = [Math.floor(down[row]!), Math.floor(across[column]!)];
    const [bottom, right] = [Math.min(top + 1, side - 1), Math.min(left + 1, side - 1)];
    const [dy, dx] = [f32(down[row]! - top), f32(across[column]! - left)];
    const [uy, ux] = [f32(1 - dy), f32(1 - dx)];
    corners.set([top * side + left, top * side + right, bottom * side + left, bottom * side + right], at);
    weights.set([uy * ux, uy * dx, dy * ux, dy * dx], at);
    at += 4;
  }
  return { corners, weights };
}

/** (row, column) of every patch.   [N, 2] */
export function patchPlaces({ rows, columns, merge }: PatchGrid): Uint32Array<ArrayBuffer> {
  return Uint32Array.from([...patchOrder(rows, columns, merge)].flat());
}

/** (cos, sin)(p · f_i), f_i = 10000^(−2i / (D/2)), of places p = 0 … places − 1.   [places, D/4, 2] */
export function visionRopeTable(places: number, headDim: number): Float32Array<ArrayBuffer> {
  const quarter = headDim / 4;
  const table = new Float32Array(places * quarter * 2);
  for (let p = 0; p < places; p += 1) {
    for (let i = 0; i < quarter; i += 1) {
      const frequency = f32(1 / f32(10_000 ** f32((2 * i) / (headDim / 2))));
      const angle = f32(p * frequency);
      table.set([Math.cos(angle), Math.sin(angle)], 2 * (p * quarter + i));
    }
  }
  return table;
}

/** `count` numbers from 0 to side − 1 at even distances, counted from the nearer end, in f32. */
function evenly(side: number, count: number): number[] {
  const end = side - 1;
  if (count === 1) return [0];
  const step = f32(end / (count - 1));
  return Array.from({ length: count }, (_, i) =>
    i < count / 2 ? f32(step * i) : f32(end - f32(step * (count - 1 - i))),
  );
}
