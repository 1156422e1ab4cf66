import { expect, test } from "vitest";
import { Admission } from "./admission.ts";

test("counts who runs and who waits, and every place comes back once", () => {
  const admission = new Admission({ slots: 2, maxQueue: 1 });
  const [first, second] = [admission.enter(), admission.enter()];
  expect(admission.load).toEqual({ running: 0, waiting: 2 });
  first.started();
  first.started();
  expect(admission.load).toEqual({ running: 1, waiting: 1 });
  first.leave();
  first.leave();
  first.started(); // too late to count
  expect(admission.load).toEqual({ running: 0, waiting: 1 });
  second.leave();
  expect(admission.load).toEqual({ running: 0, waiting: 0 });
});

test("refuses one more than run and wait, with the figures, until somebody leaves", () => {
  const admission = new Admission({ slots: 2, maxQueue: 3 });
  const seats = Array.from({ length: 5 }, () => admission.enter());
  const full = expect.objectContaining({
    code: "queue_full",
    details: { waiting: 3, limit: 3, retryAfter: 8 },
  }) as unknown;
  expect(() => admission.enter()).toThrow(full as Error);
  expect(() => {
    admission.check();
  }).toThrow(full as Error);
  seats[3]!.leave();
  admission.check();
  admission.enter();
  expect(() => admission.enter()).toThrow(full as Error);
});

test("without a queue only as many come in as run", () => {
  const admission = new Admission({ slots: 1, maxQueue: 0 });
  const seat = admission.enter();
  expect(() => admission.enter()).toThrow(expect.objectContaining({ code: "queue_full" }) as Error);
  seat.leave();
  admission.enter();
});
