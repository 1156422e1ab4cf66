// The size at which the tower sees a picture: its own aspect, sides that whole tokens tile, pixels within the budget.
import { EngineError } from "../errors.ts";

export interface Size {
  height: number;
  width: number;
}

export interface Budget {
  /** Side of a token in pixels (patch × merge). */
  factor: number;
  minPixels: number;
  maxPixels: number;
}

/** Longer than this times their width no picture says much; the reference refuses them, too. */
const widestAspect = 200;

/**
 * h' = round(h / factor) · factor, w' likewise, halves to even; a picture beyond the budget is scaled by one β for
 * both sides and cut down (or, below the least, filled up) to whole tokens.   Errors: bad_request for the aspect.
 */
export function smartResize({ height, width }: Size, { factor, minPixels, maxPixels }: Budget): Size {
  if (Math.max(height, width) / Math.min(height, width) > widestAspect) {
    const limit = `more than ${widestAspect} times as long as it is wide`;
    throw new EngineError("bad_request", `a picture of ${width} × ${height} pixels is ${limit}`);
  }
  const near = (side: number) => roundHalfEven(side / factor) * factor;
  if (near(height) * near(width) > maxPixels) {
    const beta = Math.sqrt((height * width) / maxPixels);
    const down = (side: number) => Math.max(factor, Math.floor(side / beta / factor) * factor);
    return { height: down(height), width: down(width) };
  }
  if (near(height) * near(width) < minPixels) {
    const beta = Math.sqrt(minPixels / (height * width));
    const up = (side: number) => Math.ceil((side * beta) / factor) * factor;
    return { height: up(height), width: up(width) };
  }
  return { height: near(height), width: near(width) };
}

/** As Python rounds: a half goes to the even neighbour. */
function roundHalfEven(value: number): number {
  const below = Math.floor(value);
  const rest = value - below;
  if (rest !== 0.5) return Math.round(value);
  return below % 2 === 0 ? below : below + 1;
}
