// A value in the store, read, changed, and set if nobody was in between; else all over again.

import type { PutOptions, Store } from "./store.ts";

/** Many gateways at one key get by in turns; whoever loses this often has met a store that does not compare. */
const mostRounds = 100;

/** `change` may run several times; it gives the new value, undefined to leave the old, and what the caller gets. */
export async function amend<T>(
  store: Store,
  key: string,
  change: (value: string | undefined) => { value: string | undefined; result: T },
  options: PutOptions,
): Promise<T> {
  for (let round = 0; round < mostRounds; round++) {
    const entry = await store.get(key);
    const { value, result } = change(entry?.value);
    if (value === undefined) return result;
    const revision = entry
      ? await store.compareAndSet(key, value, entry.revision, options)
      : await store.create(key, value, options);
    if (revision !== undefined) return result;
  }
  throw new Error(`${key} changed under us ${mostRounds} times`);
}

/** Rejects when `promise` takes longer: a store that is out of reach must not hold a request. */
export async function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
