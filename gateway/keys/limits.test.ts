import { expect, test } from "vitest";
import type { Account, Limits } from "./limits.ts";
import { admit, charge, emptyAccount, isLimited, leaseMs } from "./limits.ts";

const now = 1_800_000_000_000;
const own = (count: number) => ({ gateway: "g1", count });
const account = (more: Partial<Account>): Account => ({ ...emptyAccount, ...more });
const others = (count: number, until = now + 30_000) => ({ g2: { count, until } });

test.each<[string, Partial<Account>, Limits, number, string | undefined, number?]>([
  ["nothing is limited", {}, {}, 99, undefined],
  ["one below concurrency", {}, { concurrency: 3 }, 2, undefined],
  ["at concurrency", {}, { concurrency: 3 }, 3, "concurrency", 2],
  ["with another gateway's", { running: others(2) }, { concurrency: 3 }, 1, "concurrency", 2],
  ["another gateway that died", { running: others(2, now) }, { concurrency: 3 }, 1, undefined],
  ["a lease of a clock ahead", { running: others(2, now + 3 * leaseMs) }, { concurrency: 3 }, 1, undefined],
  ["our own old count", { running: { g1: { count: 9, until: now + 1 } } }, { concurrency: 3 }, 1, undefined],
  ["tokens left", { window: { start: now - 5000, used: 99 } }, { tokens: 100, window_s: 7 }, 0, undefined],
  [
    "no tokens left",
    { window: { start: now - 5000, used: 100 } },
    { tokens: 100, window_s: 7 },
    0,
    "tokens",
    2,
  ],
  ["a new window", { window: { start: now - 7000, used: 100 } }, { tokens: 100, window_s: 7 }, 0, undefined],
  [
    "a window of a clock ahead",
    { window: { start: now + 9e9, used: 100 } },
    { tokens: 100, window_s: 7 },
    0,
    "tokens",
    7,
  ],
  ["the last of a minute", { fullAt: now + 40_000 }, { requests_per_min: 3 }, 0, undefined],
  ["one too many", { fullAt: now + 40_001 }, { requests_per_min: 3 }, 0, "requests_per_min", 1],
  ["three too many", { fullAt: now + 43_500 }, { requests_per_min: 3 }, 0, "requests_per_min", 4],
  ["a bucket of a clock ahead", { fullAt: now + 9e9 }, { requests_per_min: 3 }, 0, undefined],
])("%s", (_, state, limits, count, reason, retryAfterS) => {
  const result = admit(account(state), limits, own(count), now);
  if (reason === undefined) expect(result.kind).toBe("admitted");
  else expect(result).toEqual({ kind: "refused", reason, retryAfterS });
});

test("five a minute: five at once, then one every twelve seconds", () => {
  let state = emptyAccount;
  const admitted: number[] = [];
  for (let t = 0; t < 61_000; t += 500) {
    const result = admit(state, { requests_per_min: 5 }, own(0), now + t);
    if (result.kind === "refused") continue;
    admitted.push(t / 1000);
    state = result.account;
  }
  expect(admitted).toEqual([0, 0.5, 1, 1.5, 2, 12, 24, 36, 48, 60]);
});

test("a refused request costs nothing; an admitted one is told to the others and leaves again", () => {
  const limits = { tokens: 50, window_s: 7, concurrency: 4 };
  const first = admit(account({ running: others(2) }), limits, own(1), now);
  if (first.kind === "refused") throw new Error("it should be admitted");
  expect(first.account.running).toEqual({ ...others(2), g1: { count: 2, until: now + leaseMs } });
  const left = charge(first.account, limits, own(1), 37, now + 1000);
  expect(left).toMatchObject({ window: { start: now, used: 37 }, running: { g1: { count: 1 } } });
  expect(charge(left, limits, own(0), 20, now + 2000)).toMatchObject({
    ...{ window: { used: 57 }, running: others(2) },
  });
  expect(charge(left, limits, own(0), 20, now + 2000).running.g1).toBeUndefined();
  expect(charge(left, limits, own(0), 20, now + 9000).window).toEqual({ start: now + 9000, used: 20 });
});

test("several gateways by turns keep to the limit together, whatever their order", () => {
  const limits = { concurrency: 5 };
  const counts: Record<string, number> = { a: 0, b: 0, c: 0 };
  let state = emptyAccount;
  let most = 0;
  let seed = 7;
  const random = (n: number) => (seed = (seed * 48271) % 2147483647) % n;
  for (let step = 0; step < 5000; step++) {
    const gateway = "abc"[random(3)]!;
    const leaves = random(2) === 0 && counts[gateway]! > 0;
    if (leaves) state = charge(state, limits, { gateway, count: --counts[gateway]! }, 0, now + step);
    else {
      const result = admit(state, limits, { gateway, count: counts[gateway]! }, now + step);
      if (result.kind === "refused") continue;
      state = result.account;
      counts[gateway]!++;
    }
    most = Math.max(most, counts.a! + counts.b! + counts.c!);
  }
  expect(most).toBe(5);
});

test("what is limited", () => {
  expect([isLimited({}), isLimited({ concurrency: 1 }), isLimited({ requests_per_min: 1 })]).toEqual([
    false,
    true,
    true,
  ]);
});
