import { describe, expect, test } from "vitest";
import { PAGE, pagesFor, PagePool, PageTable } from "./pages.ts";

const counts = ({ free, used, idle }: PagePool) => ({ free, used, idle });

test.each([
  [0, 0],
  [1, 1],
  [PAGE, 1],
  [PAGE + 1, 2],
])("%d tokens need %d pages", (tokens, pages) => expect(pagesFor(tokens)).toBe(pages));

describe("a pool", () => {
  test("gives every page once", () => {
    const pool = new PagePool(3);
    expect([pool.take(), pool.take(), pool.take(), pool.take()]).toEqual([0, 1, 2, undefined]);
    pool.release(1);
    expect(pool.take()).toBe(1);
  });

  test("a page is free when its last user has gone", () => {
    const pool = new PagePool(2);
    const page = pool.take()!;
    pool.share(page);
    pool.release(page);
    expect([pool.users(page), counts(pool)]).toEqual([1, { free: 1, used: 1, idle: 0 }]);
    pool.release(page);
    expect(counts(pool)).toEqual({ free: 2, used: 0, idle: 0 });
  });

  test("a held page is idle instead, comes back into use, and is free when it is dropped", () => {
    const pool = new PagePool(2);
    const page = pool.take()!;
    pool.hold(page);
    pool.hold(page);
    pool.release(page);
    expect([pool.oldestIdle, counts(pool)]).toEqual([page, { free: 1, used: 0, idle: 1 }]);
    pool.share(page);
    expect([pool.oldestIdle, counts(pool)]).toEqual([undefined, { free: 1, used: 1, idle: 0 }]);
    pool.release(page);
    pool.drop(page);
    expect(counts(pool)).toEqual({ free: 1, used: 0, idle: 1 });
    pool.drop(page);
    expect(counts(pool)).toEqual({ free: 2, used: 0, idle: 0 });
  });

  test("dropping a page in use leaves it to its user", () => {
    const pool = new PagePool(1);
    const page = pool.take()!;
    pool.hold(page);
    pool.drop(page);
    expect(counts(pool)).toEqual({ free: 0, used: 1, idle: 0 });
  });

  test("the longest idle is the one released first; releaseAll begins at the end", () => {
    const pool = new PagePool(3);
    const pages = [pool.take()!, pool.take()!, pool.take()!];
    for (const page of pages) pool.hold(page);
    pool.releaseAll(pages);
    expect(pool.oldestIdle).toBe(2);
    pool.share(2);
    pool.release(2);
    expect(pool.oldestIdle).toBe(1);
  });

  test.each<[string, (pool: PagePool) => void]>([
    ["sharing a free page", (pool) => pool.share(0)],
    ["releasing a free page", (pool) => pool.release(0)],
    ["holding a free page", (pool) => pool.hold(0)],
    ["dropping what is not held", (pool) => pool.drop(pool.take()!)],
  ])("%s is a bug", (_, wrong) => expect(() => wrong(new PagePool(1))).toThrow(/page 0/));
});

test("a table tells each entry once, and again what was replaced", () => {
  const table = new PageTable();
  expect(table.untold()).toBeUndefined();
  table.add([5, 6]);
  expect(table.untold()).toEqual({ first: 0, pages: [5, 6] });
  expect(table.untold()).toBeUndefined();
  table.add([7]);
  expect(table.untold()).toEqual({ first: 2, pages: [7] });
  table.replace(1, 9);
  expect(table.untold()).toEqual({ first: 1, pages: [9, 7] });
  table.clear();
  table.add([3]);
  expect(table.untold()).toEqual({ first: 0, pages: [3] });
});
