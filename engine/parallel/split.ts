// How a model's heads and widths are dealt to ranks: in whole units, in proportion to the ranks' weights.
import { EngineError } from "../errors.ts";

/** Units from … to − 1. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

/**
 * `total` units to as many ranks as there are weights: neighbours, each at least one, none left over. Errors:
 * unsupported_model with `what` and the figures where there are fewer units than ranks.
 */
export function deal(total: number, weights: readonly number[], what: string): Span[] {
  const ranks = weights.length;
  if (total < ranks)
    throw new EngineError(
      "unsupported_model",
      `${what}: ${total} cannot be dealt to ${ranks} devices, one each`,
    );
  const sum = weights.reduce((all, weight) => all + weight, 0);
  const spans: Span[] = [];
  let from = 0;
  let share = 0;
  for (const [rank, weight] of weights.entries()) {
    share += weight;
    const left = ranks - 1 - rank;
    const wanted = Math.round((total * share) / sum);
    const to = rank === ranks - 1 ? total : Math.min(Math.max(wanted, from + 1), total - left);
    spans.push({ from, to });
    from = to;
  }
  return spans;
}

/** The span in parts of a unit: heads → rows. */
export function times({ from, to }: Span, size: number): Span {
  return { from: from * size, to: to * size };
}

export function shifted({ from, to }: Span, by: number): Span {
  return { from: from + by, to: to + by };
}

export function length({ from, to }: Span): number {
  return to - from;
}
