import { Worker } from "node:worker_threads";
import { expect, test } from "vitest";
import { AllReduce, createMeeting, type Meeting } from "./allReduce.ts";

const shapes = [1, 7, 4096, 5120 * 3];
/** Of the tests' meetings, so that the larger sums take several. */
const slice = 4100;

/** values ← Σ over the ranks: each slice is given before the one ahead of it is taken. */
async function sum(reduce: AllReduce, values: Float32Array): Promise<void> {
  const parts: Float32Array[] = [];
  for (let from = 0; from < values.length; from += slice) {
    parts.push(values.subarray(from, from + slice));
    reduce.give(parts.at(-1)!);
    if (parts.length > 1) await reduce.take(parts.at(-2)!);
  }
  await reduce.take(parts.at(-1)!);
}

function values(rank: number, call: number, length: number): Float32Array {
  return Float32Array.from(
    { length },
    (_, i) => Math.sin(1 + i * (rank + 2) + 31 * call) * 10 ** ((i % 7) - 3),
  );
}

/** The sum in the order of the ranks, rounded to f32 after each. */
function expected(ranks: number, call: number, length: number): Float32Array {
  const sum = values(0, call, length);
  for (let rank = 1; rank < ranks; rank += 1) {
    const part = values(rank, call, length);
    for (let i = 0; i < length; i += 1) sum[i] = sum[i]! + part[i]!;
  }
  return sum;
}

test.each([1, 2, 3, 4])("%d ranks get the same bits, call after call", async (ranks) => {
  const meeting = createMeeting({ ranks, capacity: slice });
  const run = async (rank: number) => {
    const reduce = new AllReduce(meeting, rank);
    for (let call = 0; call < 12; call += 1) {
      const own = values(rank, call, shapes[call % shapes.length]!);
      // Ranks come in any order, now one ahead, now another.
      if ((call + rank) % 3 === 0) await new Promise((wake) => setTimeout(wake, 2 * rank));
      await sum(reduce, own);
      expect(Buffer.from(own.buffer).equals(Buffer.from(expected(ranks, call, own.length).buffer))).toBe(
        true,
      );
    }
  };
  await Promise.all(Array.from({ length: ranks }, (_, rank) => run(rank)));
});

test.each([2, 3])("%d ranks add up segments of a large slice, and get the same bits", async (ranks) => {
  const sizes = [40_001, 5, 33_333, 40_001, 40_000];
  const meeting = createMeeting({ ranks, capacity: sizes[0]! });
  const run = async (rank: number) => {
    const reduce = new AllReduce(meeting, rank);
    for (const [call, size] of sizes.entries()) {
      const own = values(rank, call, size);
      if ((call + rank) % 2 === 0) await new Promise((wake) => setTimeout(wake, rank));
      reduce.give(own);
      await reduce.take(own);
      const same = Buffer.from(own.buffer).equals(Buffer.from(expected(ranks, call, size).buffer));
      expect(same, `rank ${rank}, call ${call}`).toBe(true);
    }
  };
  await Promise.all(Array.from({ length: ranks }, (_, rank) => run(rank)));
});

test("in bf16 each part is rounded once, and nothing else", async () => {
  const meeting = createMeeting({ ranks: 2, capacity: 5, wire: "bf16" });
  const parts = [
    Float32Array.of(1, 1.00390625, -3e38, NaN, 0.1),
    Float32Array.of(2 ** -12, 1.01171875, 1, 1, 0.2),
  ];
  await Promise.all(parts.map((part, rank) => sum(new AllReduce(meeting, rank), part)));
  // 1.00390625 lies half way and goes to the even 1, 1.01171875 to the even 1.015625.
  expect([...parts[0]!]).toEqual([
    1 + 2 ** -12,
    2.015625,
    expect.closeTo(-3e38, -36),
    NaN,
    0.10009765625 + 0.2001953125,
  ]);
  expect(parts[1]).toEqual(parts[0]);
});

test.each(["f32", "bf16"] as const)(
  "what is gathered is what was given, between sums in %s",
  async (wire) => {
    const ranks = 3;
    const meeting = createMeeting({ ranks, capacity: 15, wire });
    // Of several slices, of none; bits that no number has, nor any that is rounded.
    const lengths = (call: number) =>
      [
        [40, 7, 0],
        [0, 0, 3],
        [15, 16, 17],
        [0, 0, 0],
      ][call % 4]!;
    const words = (rank: number, call: number) =>
      Uint32Array.from(
        { length: lengths(call)[rank]! },
        (_, i) => (0xffff_ff01 - 77 * i - 1000 * call - rank) >>> 0,
      );
    const run = async (rank: number) => {
      const reduce = new AllReduce(meeting, rank);
      for (let call = 0; call < 12; call += 1) {
        if ((call + rank) % 3 === 0) await new Promise((wake) => setTimeout(wake, 2 * rank));
        const all = await reduce.gather(words(rank, call), lengths(call));
        expect(all).toEqual([0, 1, 2].map((one) => words(one, call)));
        const own = new Float32Array(15).fill(rank);
        reduce.give(own);
        await reduce.take(own);
        expect(own).toEqual(new Float32Array(15).fill(3));
      }
    };
    await Promise.all([0, 1, 2].map(run));
  },
);

test("a rank that fails frees the others, for good", async () => {
  const meeting = createMeeting({ ranks: 3, capacity: 4 });
  const [a, b, c] = [0, 1, 2].map((rank) => new AllReduce(meeting, rank));
  const waiting = [sum(a!, new Float32Array(4)), sum(b!, new Float32Array(4))];
  c!.fail();
  const failure = {
    code: "device_lost",
    message: expect.stringMatching(/rank 2 of 3/) as string,
    details: { failedRank: 2 },
  };
  for (const one of waiting) await expect(one).rejects.toMatchObject(failure);
  await expect(sum(a!, new Float32Array(1))).rejects.toThrow("rank 2 of 3 failed");
  await expect(b!.gather(new Uint32Array(1), [1, 1, 1])).rejects.toThrow("rank 2 of 3 failed");
});

test("a rank that does not come is not waited for for ever", async () => {
  const meeting = createMeeting({ ranks: 2, capacity: 4 });
  const reduce = new AllReduce(meeting, 0, 30);
  await expect(sum(reduce, new Float32Array(4))).rejects.toThrow(
    "rank 1 of 2 did not come to the meeting behind sum 0 in 30 ms",
  );
  await expect(sum(new AllReduce(meeting, 1, 30), new Float32Array(4))).rejects.toThrow("rank 1 of 2 failed");
});

test("a failure is heard that comes between looking and waiting", async () => {
  for (let round = 0; round < 200; round += 1) {
    const meeting = createMeeting({ ranks: 2, capacity: 1 });
    const waiting = sum(new AllReduce(meeting, 0), new Float32Array(1)).catch(
      (error: Error) => error.message,
    );
    for (let turn = 0; turn < round % 5; turn += 1) await Promise.resolve();
    new AllReduce(meeting, 1).fail();
    expect(await waiting).toBe("rank 1 of 2 failed");
  }
});

test("more values than there is room for, or slices too far ahead, are bugs", () => {
  const reduce = new AllReduce(createMeeting({ ranks: 2, capacity: 4 }), 0);
  expect(() => reduce.give(new Float32Array(5))).toThrow("a slice of 5 values");
  reduce.give(new Float32Array(4));
  reduce.give(new Float32Array(4));
  expect(() => reduce.give(new Float32Array(4))).toThrow("a third slice");
});

test("threads of their own meet as well", async () => {
  const meeting = createMeeting({ ranks: 2, capacity: 2048 });
  const thread = new Worker(new URL("./allReduce.fixture.ts", import.meta.url), {
    workerData: meeting satisfies Meeting,
    execArgv: ["--import", new URL("../../test-fixtures/typescript.mjs", import.meta.url).href],
  });
  const reduce = new AllReduce(meeting, 0);
  const sums: number[] = [];
  for (let call = 0; call < 200; call += 1) {
    const own = new Float32Array(2048).fill(call);
    await sum(reduce, own);
    sums.push(own[call]!);
  }
  await thread.terminate();
  expect(sums).toEqual(Array.from({ length: 200 }, (_, call) => call + 1000 * call));
});
