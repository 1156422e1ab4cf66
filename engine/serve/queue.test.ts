import { expect, test } from "vitest";
import { Turnstile } from "./queue.ts";

const never = new AbortController().signal;

test("one at a time, first come first served", async () => {
  const queue = new Turnstile(5);
  const order: number[] = [];
  const first = await queue.enter(never);
  const others = [1, 2, 3].map(async (n) => {
    const leave = await queue.enter(never);
    order.push(n);
    leave();
  });
  expect(queue.load).toEqual({ running: 1, waiting: 3 });
  first();
  await Promise.all(others);
  expect(order).toEqual([1, 2, 3]);
  expect(queue.load).toEqual({ running: 0, waiting: 0 });
});

test("a full queue refuses with figures", async () => {
  const queue = new Turnstile(1);
  const leave = await queue.enter(never);
  const waiting = queue.enter(never);
  expect(() => queue.admit()).toThrow(
    expect.objectContaining({ code: "queue_full", details: { waiting: 1, limit: 1 } }),
  );
  leave();
  (await waiting)();
  expect(() => queue.admit()).not.toThrow();
});

test("leaving the queue leaves nothing behind", async () => {
  const queue = new Turnstile(5);
  const leave = await queue.enter(never);
  const abort = new AbortController();
  const waiting = queue.enter(abort.signal);
  const behind = queue.enter(never);
  abort.abort();
  await expect(waiting).rejects.toMatchObject({ code: "cancelled" });
  expect(queue.load).toEqual({ running: 1, waiting: 1 });
  leave();
  leave(); // twice is once
  (await behind)();
  expect(queue.load).toEqual({ running: 0, waiting: 0 });
});

test("any interleaving of arrivals, cancellations and ends comes back to zero", async () => {
  const queue = new Turnstile(4);
  let seed = 7;
  const random = (n: number) => (seed = (seed * 48271) % 2147483647) % n;
  let most = 0;
  let inside = 0;
  const visits = Array.from({ length: 300 }, async () => {
    const abort = new AbortController();
    for (let i = random(4); i > 0; i -= 1) await Promise.resolve();
    if (random(3) === 0) queueMicrotask(() => abort.abort());
    try {
      queue.admit();
      const leave = await queue.enter(abort.signal);
      most = Math.max(most, (inside += 1));
      for (let i = random(5); i > 0; i -= 1) await Promise.resolve();
      inside -= 1;
      leave();
    } catch (error) {
      expect(error).toMatchObject({ code: expect.stringMatching(/queue_full|cancelled/) });
    }
  });
  await Promise.all(visits);
  expect(most).toBe(1);
  expect(queue.load).toEqual({ running: 0, waiting: 0 });
});
