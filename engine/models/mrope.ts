// Positions on three axes (time, height, width). A counter walks the sequence: a text token stands at (c, c, c) and
// moves it on by one; the tokens of a picture all stand at time c, and at (c + row, c + column); behind it the counter
// goes on by the picture's longer side. So a sequence with pictures ends at a lower position than it has tokens.
import { EngineError } from "../errors.ts";

/** A picture in a sequence: rows × columns tokens, row by row, from token `at` on. */
export interface ImageSpan {
  at: number;
  rows: number;
  columns: number;
}

export interface MropePositions {
  /** [3, T]: t, h, w. */
  positions: Uint32Array<ArrayBuffer>;
  /** By how much the position behind them differs from start + length; never above 0. */
  delta: number;
}

/** The positions of `length` tokens, the first at `start`, among them the pictures `images`, in order. */
export function mropePositions(length: number, images: readonly ImageSpan[], start = 0): MropePositions {
  const positions = new Uint32Array(3 * length);
  const put = (token: number, t: number, h: number, w: number) => {
    positions[token] = t;
    positions[length + token] = h;
    positions[2 * length + token] = w;
  };
  let [token, counter] = [0, start];
  const text = (end: number) => {
    for (; token < end; token += 1, counter += 1) put(token, counter, counter, counter);
  };
  for (const { at, rows, columns } of images) {
    if (at < token || at + rows * columns > length) {
      throw new Error(`a picture of ${rows} × ${columns} tokens at ${at} of ${length}, ${token} are taken`);
    }
    text(at);
    for (let i = 0; i < rows * columns; i += 1, token += 1) {
      put(token, counter, counter + Math.floor(i / columns), counter + (i % columns));
    }
    counter += Math.max(rows, columns);
  }
  text(length);
  return { positions, delta: counter - start - length };
}

/**
 * Where the pictures of `grids` (frames, rows and columns of patches) lie among `ids`, whose runs of `imageToken` are
 * their tokens.   Errors: bad_request where runs and grids do not agree.
 */
export function imageSpans(
  ids: readonly number[],
  imageToken: number,
  grids: readonly (readonly number[])[],
  merge: number,
): ImageSpan[] {
  let from = 0;
  const spans = grids.map((grid, i) => {
    const [rows, columns] = [grid[1]! / merge, grid[2]! / merge];
    const at = ids.indexOf(imageToken, from);
    from = at + rows * columns;
    const run = ids.slice(at, from);
    if (at < 0 || run.length < rows * columns || run.some((id) => id !== imageToken)) {
      throw new EngineError(
        "bad_request",
        `picture ${i + 1}: its ${rows * columns} tokens are not in the prompt`,
      );
    }
    return { at, rows, columns };
  });
  if (!ids.includes(imageToken, from)) return spans;
  throw new EngineError("bad_request", `the prompt has picture tokens beyond its ${grids.length} pictures`);
}
