import { expect, test } from "vitest";
import { Admission, type Seat } from "./admission.ts";
import { uniform } from "../reference/random.ts";

const error = (code: string, details: object) =>
  expect.objectContaining({ code, details: expect.objectContaining(details) as object }) as Error;

test("counts who runs and who waits, and every place comes back once", () => {
  const admission = new Admission({ slots: 2, maxQueue: 1 });
  const [first, second] = [admission.enter(70), admission.enter(5)];
  expect(admission.load).toEqual({ running: 0, waiting: 2, waitingTokens: 75 });
  first.started();
  first.started();
  expect(admission.load).toEqual({ running: 1, waiting: 1, waitingTokens: 5 });
  first.leave();
  first.leave();
  first.started(); // too late to count
  expect(admission.load).toEqual({ running: 0, waiting: 1, waitingTokens: 5 });
  second.leave();
  expect(admission.load).toEqual({ running: 0, waiting: 0, waitingTokens: 0 });
});

test("refuses one more than run and wait, with the figures, until somebody leaves", () => {
  const admission = new Admission({ slots: 2, maxQueue: 3 });
  const seats = Array.from({ length: 5 }, () => admission.enter(1));
  const full = error("queue_full", { waiting: 3, limit: 3, retryAfter: 8 });
  expect(() => admission.enter(1)).toThrow(full);
  expect(() => {
    admission.check();
  }).toThrow(full);
  seats[3]!.leave();
  admission.check();
  admission.enter(1);
  expect(() => admission.enter(1)).toThrow(full);
});

test("without a queue only as many come in as run", () => {
  const admission = new Admission({ slots: 1, maxQueue: 0 });
  const seat = admission.enter(1);
  expect(() => admission.enter(1)).toThrow(error("queue_full", {}));
  seat.leave();
  admission.enter(1);
});

test("refuses behind too many tokens, however few the requests; a long prompt alone may wait", () => {
  const admission = new Admission({ slots: 1, maxQueue: 9, maxQueueTokens: 100 });
  const first = admission.enter(5000);
  first.started();
  const long = admission.enter(700);
  const full = error("queue_full", { waiting: 1, limit: 100 });
  expect(() => admission.enter(1)).toThrow(full);
  long.started();
  admission.enter(99);
  const last = admission.enter(1);
  expect(() => admission.enter(1)).toThrow(error("queue_full", { waiting: 3, limit: 100 }));
  last.leave();
  admission.enter(1);
});

test("a principal has its share; those without a name share one", () => {
  const admission = new Admission({ slots: 9, maxQueue: 9, maxPerPrincipal: 2 });
  const first = admission.enter(1, "ada");
  admission.enter(1, "ada").started();
  expect(() => admission.enter(1, "ada")).toThrow(error("rate_limit_exceeded", { limit: 2, retryAfter: 2 }));
  admission.enter(1, "bob");
  admission.enter(1);
  admission.enter(1);
  expect(() => {
    admission.check();
  }).toThrow("callers without a name may have 2 requests at this model, and 2 are there");
  expect(admission.principals).toBe(3);
  first.leave();
  admission.enter(1, "ada");
});

test("says when to come back by the pace at which requests end", () => {
  let now = 0;
  const admission = new Admission({ slots: 2, maxQueue: 3 }, () => now);
  const serve = (ms: number) => {
    const seat = admission.enter(1);
    now += 50_000; // waiting is not serving
    seat.started();
    now += ms;
    seat.leave();
  };
  serve(4000);
  for (let i = 0; i < 5; i += 1) admission.enter(1);
  expect(() => admission.enter(1)).toThrow(error("queue_full", { retryAfter: 8 })); // 3 wait for 2 seats: two rounds

  const slow = new Admission({ slots: 1, maxQueue: 1 }, () => now);
  for (const ms of [1000, 11_000, 500_000]) {
    const seat = slow.enter(1);
    seat.started();
    now += ms;
    seat.leave();
  }
  slow.enter(1);
  slow.enter(1);
  expect(() => slow.enter(1)).toThrow(error("queue_full", { retryAfter: 120 }));
});

test.each([1, 2, 3, 4, 5, 6])(
  "whatever comes and goes in whatever order, all counts return to zero (%i)",
  (seed) => {
    let drawn = 0;
    const random = () => uniform(seed, drawn++);
    const admission = new Admission({ slots: 3, maxQueue: 5, maxQueueTokens: 900, maxPerPrincipal: 4 });
    const names = [undefined, "ada", "bob", "cy"];
    const seats: { seat: Seat; running: boolean; tokens: number }[] = [];
    let refused = 0;
    for (let i = 0; i < 3000; i += 1) {
      const action = random();
      const one = seats[Math.floor(random() * seats.length)];
      if (action < 0.4) {
        try {
          const tokens = Math.ceil(random() * 500);
          const seat = admission.enter(tokens, names[Math.floor(random() * names.length)]);
          seats.push({ seat, running: false, tokens });
        } catch {
          refused += 1;
        }
      } else if (action < 0.6 && one) {
        one.seat.started();
        one.running = true;
      } else if (one) {
        one.seat.leave();
        seats.splice(seats.indexOf(one), 1);
        if (random() < 0.2) one.seat.leave();
        if (random() < 0.2) one.seat.started();
      }
      const waiting = seats.filter(({ running }) => !running);
      expect(admission.load).toEqual({
        running: seats.length - waiting.length,
        waiting: waiting.length,
        waitingTokens: waiting.reduce((sum, { tokens }) => sum + tokens, 0),
      });
      expect(seats.length).toBeLessThanOrEqual(8);
    }
    expect(refused).toBeGreaterThan(50);
    for (const { seat } of seats) seat.leave();
    expect(admission.load).toEqual({ running: 0, waiting: 0, waitingTokens: 0 });
    expect(admission.principals).toBe(0);
  },
);
