import { expect, test } from "vitest";
import { EngineError } from "../../errors.ts";
import { together } from "./together.ts";

const after = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
const failed = async (error: Error, ms = 1) => {
  await after(ms);
  throw error;
};
const waited = (rank: number) => new EngineError("device_lost", "waited", { failedRank: rank });

test("all are awaited", async () => {
  let done = 0;
  const work = (ms: number) => after(ms).then(() => (done += 1));
  await together([work(1), work(9), work(3)], () => expect.unreachable());
  expect(done).toBe(3);
});

test("the rank with which it began is named, though others notice first; all are drained", async () => {
  const given: number[] = [];
  let drained = false;
  const slow = after(20).then(() => (drained = true));
  const works = [failed(waited(2), 1), slow, failed(new EngineError("out_of_memory", "no room"), 5)];
  const error = { code: "out_of_memory", message: "rank 2: no room" };
  await expect(together(works, (rank) => given.push(rank))).rejects.toMatchObject(error);
  expect([given, drained]).toEqual([[0, 2], true]);
});

test("a rank that hangs is not waited for longer than it may take", async () => {
  const never = new Promise<void>(() => undefined);
  const works = [failed(waited(1)), never];
  await expect(together(works, () => undefined, 10)).rejects.toMatchObject({ message: "waited" });
});
