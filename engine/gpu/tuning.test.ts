import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { openGpu } from "./adapter.ts";
import { bestOf, search, type Search } from "./autotune.ts";
import { attemptOf, keyOf, Tuning, type Question } from "./tuning.ts";
import { TuningFile } from "./tuningFile.ts";

const question: Question = { kernel: "matvec", format: "q4_0", K: 96, N: 40, T: 1 };
const key = keyOf(question);
const ways = [{ name: "a" }, { name: "b" }, { name: "c" }];

describe("an answer", () => {
  test.each([
    ["the guess where nothing is known", {}, {}, "a"],
    ["what ships with the program", {}, { shipped: { [key]: "b" } }, "b"],
    [
      "what was measured, before that",
      { autotune: true },
      { measured: { [key]: "c" }, shipped: { [key]: "b" } },
      "c",
    ],
    ["no measurement where none is wanted", {}, { measured: { [key]: "c" } }, "a"],
    [
      "the guess where strict",
      { autotune: true, strict: true },
      { measured: { [key]: "c" }, shipped: { [key]: "b" } },
      "a",
    ],
    ["what ships for all shapes", {}, { shipped: { "matvec q4_0 *": "b" } }, "b"],
    ["what ships for this one, before that", {}, { shipped: { "matvec q4_0 *": "b", [key]: "c" } }, "c"],
    ["of another format counts for nothing", {}, { shipped: { "matvec q4_1 *": "b" } }, "a"],
    ["of another shape counts for nothing", {}, { shipped: { [keyOf({ ...question, K: 32 })]: "b" } }, "a"],
    ["the guess where the named way is gone", { autotune: true }, { measured: { [key]: "lost" } }, "a"],
  ] as const)("is %s", (_, options, known, want) => {
    expect(new Tuning(options, known).choose(question, ways).name).toBe(want);
  });

  test("is open until it was measured, then kept and saved", () => {
    const saved: object[] = [];
    const tuning = new Tuning({ autotune: true }, { save: (answers) => saved.push(answers) });
    tuning.choose({ ...question, N: 8 }, ways.slice(0, 1)); // no choice, no question
    tuning.choose(question, ways);
    expect(tuning.open).toEqual([{ question, ways: ["a", "b", "c"] }]);
    tuning.learn(new Map([[key, "b"]]));
    expect(tuning.open).toEqual([]);
    expect(tuning.choose(question, ways).name).toBe("b");
    expect(tuning.open).toEqual([]);
    expect(saved).toEqual([{ [key]: "b" }]);
  });

  test("is never a way that the device did not survive, unless it is the guess", () => {
    const deadly = new Set(["a", "b"].map((way) => attemptOf(question, way)));
    const tuning = new Tuning({ autotune: true }, { measured: { [key]: "b" }, deadly });
    expect(tuning.choose(question, ways).name).toBe("a");
    expect(tuning.open).toEqual([{ question, ways: ["a", "c"] }]);
    expect(tuning.choose({ ...question, N: 72 }, ways.slice(1)).name).toBe("b"); // the guess
    tuning.learn(new Map([[keyOf({ ...question, N: 72 }), "b"]]));
    expect(tuning.choose({ ...question, N: 72 }, ways).name).toBe("a"); // in any shape
    const attempts: (readonly string[])[] = [];
    new Tuning({ autotune: true }, { attempt: (them) => attempts.push(them) }).trying(question, ["b"]);
    expect(attempts).toEqual([[attemptOf(question, "b")]]);
  });

  test("of a device that is opened without asking for it is never a measurement", async () => {
    const quiet = await openGpu({ backend: "null" });
    expect(quiet.tuning).toMatchObject({ searching: false, strict: false });
    const strict = await openGpu({ backend: "null" }, () => undefined, { strict: true, autotune: true });
    expect(strict.tuning).toMatchObject({ searching: false, strict: true });
    const software = await openGpu({ backend: "null" }, () => undefined, {});
    expect(software.tuning.searching).toBe(false);
  });
});

describe("the search", () => {
  /** What each way computes, where it is not what the guess does; and when the device is lost. */
  interface Mishaps {
    results?: Record<string, number[]>;
    /** As this way runs. */
    lostBy?: string;
  }

  /** A device whose ways take so many ms, and some that it cannot run. */
  function device(times: Record<string, number>, limitMs = 1000, { results = {}, lostBy }: Mishaps = {}) {
    let now = 0;
    let lost = false;
    const alive = new Set<string>();
    const wrong: string[] = [];
    /** All that was told, one after another. */
    const tried: string[] = [];
    const s: Search = {
      limitMs,
      now: () => now,
      trying: (_, ways) => void tried.push(ways.join()),
      wrong: (_, way) => void wrong.push(way),
      prepare: (question, ways) => {
        if (question === large) return Promise.resolve(undefined);
        alive.add(ways.join());
        const runs = ways.map((way) => {
          const ms = times[way];
          if (ms === undefined) return undefined;
          return () => {
            lost ||= way === lostBy;
            now += lost ? 0 : ms; // as onSubmittedWorkDone does then
            return Promise.resolve();
          };
        });
        const result = (i: number) =>
          lost
            ? Promise.reject(new Error("the device is gone"))
            : Promise.resolve(Float32Array.from(results[ways[i]!] ?? [1, -2, 3]));
        return Promise.resolve({ runs, result, free: async () => void alive.delete(ways.join()) });
      },
    };
    return { s, alive, wrong, tried };
  }
  const open = [{ question, ways: ["a", "b", "c"] }];
  /** For which there is no room. */
  const large = { ...question, N: 2 ** 20 };

  test.each([
    [{ a: 3, b: 2, c: 4 }, "b"],
    [{ a: 3, b: 2.95, c: 3 }, "a"], // not clearly better than the guess
    [{ a: 3, b: 2.95, c: 2.5 }, "c"],
    [{ b: 5, c: 4 }, "c"],
    [{ a: 5 }, "a"],
    [{}, "a"],
  ])("of %o finds %s", async (times, want) => {
    const { s, alive } = device(times as Record<string, number>);
    expect(await search(open, s)).toEqual(new Map([[key, want]]));
    expect(alive.size).toBe(0);
  });

  test("begins nothing when time is up, but answers what it has begun", async () => {
    const { s, alive } = device({ a: 3, b: 2, c: 4 }, 70); // a question takes 69
    const [second, third] = [64, 72].map((N) => ({ ...question, N }));
    const found = await search(
      [...open, { question: second!, ways: ["a", "b"] }, { question: third!, ways: ["a", "b"] }],
      s,
    );
    expect([...found]).toEqual([
      [key, "b"],
      [keyOf(second!), "b"],
    ]);
    expect(alive.size).toBe(0);
    expect(s.now()).toBe(69 + 6 + 3 * 5); // the guess twice, then each way twice as it is checked, and one round
  });

  test("comes forward where one question takes longer than there is time", async () => {
    const { s } = device({ a: 300, b: 200, c: 400 }, 900);
    expect(await search(open, s)).toEqual(new Map([[key, "b"]]));
    expect(s.now()).toBe(3300);
  });

  test("leaves a question that would take very much longer, and nobody waits for the others", async () => {
    const { s, alive } = device({ a: 301, b: 200, c: 400 }, 900);
    const second = { question: { ...question, N: 64 }, ways: ["b"] };
    expect(await search([...open, second], s)).toEqual(new Map([[keyOf(second.question), "b"]]));
    expect(alive.size).toBe(0);
  });

  test.each([
    ["zeros", [0, 0, 0]],
    ["no numbers", [1, NaN, 3]],
    ["another sign", [1, 2, 3]],
  ])("takes no way that computes %s", async (_, result) => {
    const { s, wrong } = device({ a: 3, b: 1, c: 2 }, 1000, { results: { b: result, c: [1.01, -2, 3.02] } });
    expect(await search(open, s)).toEqual(new Map([[key, "c"]]));
    expect(wrong).toEqual(["b"]);
  });

  test("a device that is lost answers nothing, however fast it is then", async () => {
    const { s, alive, tried } = device({ a: 3, b: 2, c: 4 }, 1000, { lostBy: "b" });
    await expect(search(open, s)).rejects.toThrow("gone");
    expect(alive.size).toBe(0);
    expect(tried.at(-1)).toBe("b"); // who reads it afterwards knows why
    const survived = device({ a: 3, b: 2, c: 4 });
    await search(open, survived.s);
    expect(survived.tried).toEqual(["b,c", "", "b", "c", ""]);
  });

  test("goes on behind what there is no room for", async () => {
    const { s, alive } = device({ a: 3, b: 2 });
    const found = await search([{ question: large, ways: ["a", "b"] }, ...open], s);
    expect(found).toEqual(new Map([[key, "b"]]));
    expect(alive.size).toBe(0);
  });

  test("one slow run decides nothing", () => {
    expect(bestOf([undefined, undefined])).toBe(0);
    expect(bestOf([10, 9.6, 9.8])).toBe(1);
  });
});

describe("the file", () => {
  const folder = mkdtempSync(join(tmpdir(), "tuning-"));
  afterAll(() => rmSync(folder, { recursive: true }));

  test("grows by what several processes find", () => {
    const path = join(folder, "some", "card.json");
    const [one, other] = [new TuningFile(path, "k1"), new TuningFile(path, "k1")];
    expect(one.read()).toEqual({});
    expect(one.add({ x: "a" })).toBe(true);
    expect(other.add({ y: "b" })).toBe(true);
    expect(one.read()).toEqual({ x: "a", y: "b" });
    expect(readdirSync(join(folder, "some"))).toEqual(["card.json"]); // nothing half-written is left
  });

  test("knows what did not survive twice, and lets be what did", () => {
    const path = join(folder, "deadly.json");
    const start = () => new TuningFile(path, "k1");
    start().add({ x: "a" });
    start().attempt(["q: b", "q: c"]); // and no more is heard
    expect(start().deadly()).toEqual(new Set());
    const second = start();
    second.attempt(["q: b", "q: c"]);
    second.attempt([]); // they compile
    second.attempt(["q: c"]);
    second.attempt(["q: b"]); // and no more is heard
    expect(start().deadly()).toEqual(new Set(["q: b"]));
    expect(start().read()).toEqual({ x: "a" });
    const other = new TuningFile(path, "k2");
    expect(other.deadly()).toEqual(new Set());
    other.attempt(["q: d"]);
    other.attempt([]);
    expect(JSON.parse(readFileSync(path, "utf8"))).toEqual({ kernels: "k2", answers: {} });
  });

  test("of other kernels is ignored and written anew", () => {
    const path = join(folder, "older.json");
    new TuningFile(path, "k1").add({ x: "a" });
    const now = new TuningFile(path, "k2");
    expect(now.read()).toEqual({});
    now.add({ y: "b" });
    expect(now.read()).toEqual({ y: "b" });
    expect(new TuningFile(path, "k1").read()).toEqual({});
  });

  test.each([
    "",
    "{",
    "null",
    "[1]",
    '{"kernels":"k1","answers":null}',
    '{"kernels":"k1","answers":{"x":3}}',
  ])("that says %j is ignored and written anew", (text) => {
    const path = join(folder, "broken.json");
    writeFileSync(path, text);
    const file = new TuningFile(path, "k1");
    expect(file.read()).toEqual({});
    expect(file.add({ x: "a" })).toBe(true);
    expect(JSON.parse(readFileSync(path, "utf8"))).toEqual({ kernels: "k1", answers: { x: "a" } });
  });

  test("that cannot be written costs nothing but the next search", () => {
    writeFileSync(join(folder, "plain"), "");
    const file = new TuningFile(join(folder, "plain", "card.json"), "k1");
    expect(file.add({ x: "a" })).toBe(false);
    expect(file.read()).toEqual({});
  });
});
