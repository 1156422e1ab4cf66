// What all ranks of a model do at once: it is done when all have done it, and has failed when one has.
import { setTimeout as sleep } from "node:timers/promises";
import { EngineError } from "../../errors.ts";

/**
 * `works`: of each rank in order, its own among them. When one fails, `giveUp` has to make the others end; all are
 * awaited, but after a failure no longer than `drainMs`. Errors: that of the rank with which it began, by its number.
 */
export async function together(
  works: readonly Promise<unknown>[],
  giveUp: (rank: number) => void,
  drainMs = Infinity,
): Promise<void> {
  const errors = new Map<number, unknown>();
  let fail: () => void = () => undefined;
  const failure = new Promise<void>((resolve) => (fail = resolve));
  const settled = works.map((work, rank) =>
    work.catch((error: unknown) => {
      errors.set(rank, error);
      giveUp(rank);
      fail();
    }),
  );
  const all = Promise.all(settled);
  await Promise.race([all, failure]);
  if (errors.size === 0) return;
  await (drainMs === Infinity ? all : Promise.race([all, sleep(drainMs, undefined, { ref: false })]));
  throw firstCause(errors);
}

/** A rank that waited for one which failed says no more than that. */
function firstCause(errors: ReadonlyMap<number, unknown>): unknown {
  const blamed = [...errors.values()]
    .map(rankBlamedBy)
    .find((rank) => rank !== undefined && errors.has(rank));
  const [rank, error] = [...errors].find(([own]) => own === blamed) ?? [...errors][0]!;
  if (!(error instanceof EngineError) || rankBlamedBy(error) !== undefined) return error;
  return new EngineError(
    error.code,
    `rank ${rank}: ${error.message}`,
    { ...error.details },
    { cause: error },
  );
}

function rankBlamedBy(error: unknown): number | undefined {
  const rank = error instanceof EngineError ? error.details["failedRank"] : undefined;
  return typeof rank === "number" ? rank : undefined;
}
