import { describe, expect, test } from "vitest";
import { Content, type Picture } from "./content.ts";
import { PagePool } from "./pages.ts";
import { noMatch, PrefixCache, snapshotPoints, type Reuse } from "./prefix.ts";

const key = (tokens: readonly number[], pictures: Picture[] = []) =>
  new Content(tokens, pictures).key(0, tokens.length);
const picture = (change: Partial<Picture> = {}): Picture => ({
  ...{ at: 1, rows: 1, columns: 2, hash: "a" },
  ...change,
});

describe("keys", () => {
  const tokens = [4, 9, 9, 9, 5];
  const of = [picture()];
  test.each<[string, string]>([
    ["other tokens", key([4, 9, 9, 9, 6], of)],
    ["no picture", key(tokens)],
    ["another picture", key(tokens, [picture({ hash: "b" })])],
    ["the picture elsewhere", key(tokens, [picture({ at: 2 })])],
    ["another shape of it", key(tokens, [picture({ rows: 2, columns: 1 })])],
    ["one more picture", key(tokens, [...of, picture({ at: 3, columns: 1 })])],
  ])("%s: another key", (_, other) => expect(other).not.toBe(key(tokens, of)));

  test("the same content has the same key, wherever the picture was cut", () => {
    expect(new Content([1, 2], [], "of 5").key(0, 2)).not.toBe(key([1, 2]));
    const content = new Content([1, 2, 9, 9, 9, 5], [picture({ at: 2, columns: 3 })]);
    expect(new Content([...content.tokens, 8], content.pictures).key(3, 6)).toBe(content.key(3, 6));
    expect(content.key(3, 5)).not.toBe(content.key(2, 4)); // other parts of it
    expect(new Content([7, 7, 7], [picture({ at: 0, columns: 1 })]).key(1, 3)).toBe(key([7, 7]));
  });

  test("token ids of more than 16 bits, and ids that are halves of characters", () => {
    const ids = [1, 0xd800, 0x10000, 0x1d800, 248_320];
    expect(new Set(ids.map((id) => key([id]))).size).toBe(ids.length);
    expect(key([1, 2])).not.toBe(key([0x10002]));
  });

  test("a key of tokens that are not there is a bug", () => {
    expect(() => new Content([1, 2], []).key(0, 3)).toThrow("0 to 3 of 2");
  });

  test("positions fall behind at every picture", () => {
    const content = new Content(Array(40).fill(9), [
      picture({ at: 3, rows: 2, columns: 5 }),
      picture({ at: 20, rows: 4, columns: 3 }),
    ]);
    expect([0, 12, 13, 31, 32, 40].map((at) => content.ropeDelta(at))).toEqual([0, 0, -5, -5, -13, -13]);
  });
});

/** A cache, and sequences that come and go; tokens of a prompt are told by its letters. */
function cacheOf(reuse: Reuse, { pages = 20, snapshots = 3 } = {}) {
  const pool = new PagePool(pages);
  const cache = new PrefixCache(pool, { reuse, snapshots });
  const contentOf = (text: string, length: number) =>
    new Content(
      Array.from({ length }, (_, i) => text.charCodeAt(Math.min(Math.floor(i / 32), text.length - 1))),
      [],
    );
  return {
    pool,
    cache,
    contentOf,
    /** Runs a sequence of `length` tokens: "ab" are 32 times a, then b to the end. Returns its pages, released. */
    run(text: string, length: number, ...saved: number[]): number[] {
      const content = contentOf(text, length);
      let own = Array.from({ length: Math.ceil(length / 64) }, () => cache.take()!);
      const change = (to: readonly number[]) => {
        for (const [i, page] of to.entries()) {
          if (page === own[i]) continue;
          pool.share(page);
          pool.release(own[i]!);
        }
        own = [...to];
      };
      change(cache.remember(content, own, reuse === "pages" ? length : 0));
      for (const tokens of saved) {
        const slot = cache.reserve(content, tokens);
        if (slot !== undefined) change(cache.save(content, own, tokens, slot));
      }
      pool.releaseAll(own);
      return own;
    },
    match: (text: string, length: number, most = length - 1) => cache.match(contentOf(text, length), most),
  };
}

describe("pages of a model of attention alone", () => {
  test.each<[string, string, number, number]>([
    ["the same prompt: all but its last token, in whole pages", "aaaaaa", 192, 128],
    ["a longer one", "aaaaaab", 300, 192],
    ["one that parts in the second page", "aaab", 300, 64],
    ["one that parts in the first", "ab", 300, 0],
    ["a shorter one", "aaaaaa", 129, 128],
    ["one of a single page", "aa", 64, 0],
  ])("%s", (_, text, length, tokens) => {
    const { run, match } = cacheOf("pages");
    const pages = run("aaaaaa", 192);
    expect(match(text, length)).toEqual({ ...noMatch, tokens, pages: pages.slice(0, tokens / 64) });
  });

  test("two that computed the same at the same time use the pages of the first", () => {
    const { cache, pool, contentOf } = cacheOf("pages");
    const content = contentOf("ab", 130);
    const [first, second] = [[0, 1, 2].map(() => cache.take()!), [0, 1, 2].map(() => cache.take()!)];
    expect(cache.remember(content, first, 130)).toEqual(first);
    expect(cache.remember(content, second, 130)).toEqual([first[0], first[1], second[2]]);
    expect(cache.stats.pages).toBe(2);
    pool.releaseAll(second);
    expect(pool.idle).toBe(0);
  });

  test("the pages idle for longest go first, the last of a prompt before its first", () => {
    const { run, match, cache, pool } = cacheOf("pages", { pages: 6 });
    run("aaaaaa", 192);
    run("bbbbbb", 192);
    expect([pool.free, pool.idle]).toEqual([0, 6]);
    cache.take();
    expect([match("aaaaaa", 193).tokens, match("bbbbbb", 193).tokens]).toEqual([128, 192]);
    cache.take();
    cache.take();
    expect([match("aaaaaa", 193).tokens, match("bbbbbb", 193).tokens]).toEqual([0, 192]);
    expect(cache.stats.pages).toBe(3);
  });

  test("a page in use is never taken", () => {
    const { run, match, cache, pool } = cacheOf("pages", { pages: 6 });
    run("aaaaaa", 192);
    for (const page of match("aaaaaa", 193).pages) pool.share(page);
    run("bbbbbb", 192);
    expect(
      [cache.take(), cache.take(), cache.take(), cache.take()].map((page) => page !== undefined),
    ).toEqual([true, true, true, false]);
    expect(match("aaaaaa", 193).tokens).toBe(192);
  });
});

describe("states of a hybrid", () => {
  test.each<[string, string, number, number, number | undefined, number | undefined]>([
    ["up to the latest state within the match", "aaaaaa", 192, 150, 2, 1],
    ["a state at the end of a page needs no copy", "aaaab", 140, 128, undefined, 0],
    ["not beyond where it parts", "aaab", 192, 0, undefined, undefined],
    ["a token is left to compute", "aaaaaa", 150, 128, undefined, 0],
    ["and one behind a state is enough", "aaaaaa", 151, 150, 2, 1],
    ["nothing in common", "b", 192, 0, undefined, undefined],
  ])("%s", (_, text, length, tokens, partial, snapshot) => {
    const { run, match } = cacheOf("states");
    const pages = run("aaaaaa", 192, 128, 150);
    expect(match(text, length)).toEqual({
      ...noMatch,
      ...{ tokens, pages: pages.slice(0, Math.floor(tokens / 64)), snapshot },
      partial: partial === undefined ? undefined : pages[partial],
    });
  });

  test("states less than a page from the start, and several in one page", () => {
    const { run, match } = cacheOf("states");
    run("ab", 60, 20, 40, 50);
    expect([match("ab", 60).tokens, match("ac", 60).tokens, match("ab", 45).tokens]).toEqual([50, 20, 40]);
  });

  test("pages that lead to no state are not kept", () => {
    const { run, cache, pool } = cacheOf("states");
    run("aaaaaa", 192);
    expect(pool.idle).toBe(0);
    run("aaaaaa", 192, 70);
    expect([pool.idle, cache.stats.pages, cache.stats.snapshots]).toEqual([2, 2, 1]);
  });

  test("a state that is there is not saved again", () => {
    const { run, cache, contentOf } = cacheOf("states");
    run("aaaaaa", 192, 128);
    expect(cache.reserve(contentOf("aaaaab", 190), 128)).toBeUndefined();
    expect(cache.reserve(contentOf("aaab", 190), 128)).toBe(1);
  });

  test("the state unused for longest gives its slot, and its pages go with it", () => {
    const { run, match, cache, pool, contentOf } = cacheOf("states");
    run("aaaa", 128, 70);
    run("bbbb", 128, 70);
    run("cccc", 128, 70);
    cache.reused(match("aaaa", 128), 128);
    expect(cache.reserve(contentOf("dddd", 128), 70)).toBe(1);
    expect(["aaaa", "bbbb", "cccc"].map((text) => match(text, 128).tokens)).toEqual([70, 0, 70]);
    expect(pool.idle).toBe(4);
  });

  test("a state goes with the first of its pages that is needed", () => {
    const { run, match, cache } = cacheOf("states", { pages: 3 });
    run("aaaaaa", 192, 64, 128, 170);
    expect(match("aaaaaa", 192).tokens).toBe(170);
    cache.take();
    expect([match("aaaaaa", 192).tokens, cache.stats]).toMatchObject([128, { pages: 2, snapshots: 2 }]);
    cache.take();
    expect(match("aaaaaa", 192).tokens).toBe(64);
    cache.take();
    expect([match("aaaaaa", 192).tokens, cache.stats]).toMatchObject([0, { pages: 0, snapshots: 0 }]);
  });

  test("rope_delta is kept with the state", () => {
    const { cache } = cacheOf("states");
    const content = new Content(Array(100).fill(9), [picture({ at: 10, rows: 3, columns: 4 })]);
    cache.save(content, [cache.take()!, cache.take()!], 80, cache.reserve(content, 80)!);
    expect(cache.match(content, 99)).toMatchObject({ tokens: 80, ropeDelta: 4 - 12 });
  });
});

test.each(["pages", "states"] as const)("of %s nothing is left when it is cleared", (reuse) => {
  const { run, match, cache, pool, contentOf } = cacheOf(reuse);
  run("aaaaaa", 192, 40, 150);
  cache.reserve(contentOf("bbbb", 128), 100); // and lost before it is written
  cache.clear();
  expect([pool.free, cache.stats, match("aaaaaa", 192)]).toMatchObject([
    20,
    { pages: 0, snapshots: 0 },
    noMatch,
  ]);
  const slots = [1, 2, 3, 4].map((n) => cache.reserve(contentOf("cccc", 128), n));
  if (reuse === "states") expect(slots).toEqual([0, 1, 2, undefined]);
});

test("without reuse nothing is kept", () => {
  const { run, match, pool, cache } = cacheOf("nothing");
  run("aaaaaa", 192, 128);
  expect([pool.free, match("aaaaaa", 192), cache.stats.pages]).toEqual([20, noMatch, 0]);
});

test("hits are counted in sequences and in tokens", () => {
  const { run, match, cache } = cacheOf("pages");
  run("aaaaaa", 192);
  cache.reused(match("aaaaaa", 192), 192);
  cache.reused(match("b", 50), 50);
  expect(cache.stats).toMatchObject({ lookups: 2, hits: 1, lookedUpTokens: 242, reusedTokens: 128 });
});

describe("where states are saved", () => {
  const prompt = (length: number, ...special: number[]) =>
    Array.from({ length }, (_, i) => (special.includes(i) ? 99 : 1));
  test.each<[string, number[], number, number[]]>([
    ["at every chunk, before the last token", prompt(513), 16, [128, 256, 384, 512]],
    ["and not behind it", prompt(512), 16, [128, 256, 384]],
    ["just past the last special token", prompt(300, 7, 200), 16, [128, 201, 256]],
    ["once, where both are", prompt(300, 127), 16, [128, 256]],
    ["not past the last token of all", prompt(100, 20, 99), 16, []],
    ["of many chunks every second", prompt(1025), 16, [256, 512, 768, 1024]],
    ["or fourth, and the special token always", prompt(1025, 3), 8, [4, 512, 1024]],
    ["one at least", prompt(300), 1, [256]],
    ["none without slots", prompt(513, 7), 0, []],
    ["a short prompt", prompt(1), 16, []],
  ])("%s", (_, tokens, slots, points) => {
    expect(snapshotPoints(tokens, new Set([99]), { chunk: 128, slots })).toEqual(points);
  });

  test.each<[number[], number[]]>([
    [prompt(300, 7), [8, 128, 256, 299]],
    [prompt(129), [128]],
    [prompt(1), []],
  ])("before the last token of a prompt that will be repeated", (tokens, points) => {
    const options = { chunk: 128, slots: 16, repeated: true };
    expect(snapshotPoints(tokens, new Set([99]), options)).toEqual(points);
  });
});
