import { expect, test } from "vitest";
import { Stop } from "./stop.ts";

const [first, second] = [new Error("first"), new Error("second")];

test("the first reason stands, and who listens hears of it once", () => {
  const stop = new Stop();
  const heard: string[] = [];
  const gone = () => void heard.push("gone");
  stop.onAbort(() => heard.push("a"));
  stop.onAbort(gone);
  stop.off(gone);
  stop.off(gone);
  expect([stop.stopped, stop.reason]).toEqual([false, undefined]);
  stop.abort(first);
  stop.abort(second);
  stop.onAbort(() => heard.push("late"));
  expect([stop.stopped, stop.reason, heard]).toEqual([true, first, ["a", "late"]]);
});

test("a signal of it, taken before or after the end, says the same", () => {
  const stop = new Stop();
  const before = stop.signal;
  expect([before.aborted, stop.signal === before]).toEqual([false, true]);
  stop.abort(first);
  expect([before.aborted, before.reason]).toEqual([true, first]);
  const late = new Stop();
  late.abort(first);
  expect([late.signal.aborted, late.signal.reason]).toEqual([true, first]);
});
