import { expect, test, vi } from "vitest";
import { Pulse, pulseMemory, stuckFor, watchPulse } from "./pulse.ts";

const never = () => new Promise<void>(() => undefined);

test("only a step that neither ends nor is followed by another counts", async () => {
  const memory = pulseMemory();
  const pulse = new Pulse(memory);
  const last = { progress: 0, since: 0 };
  expect(stuckFor(memory, last, 900)).toBe(0); // idle, however long
  await pulse.beat(async () => undefined);
  expect(stuckFor(memory, last, 1000)).toBe(0);
  void pulse.beat(never);
  expect(stuckFor(memory, last, 1100)).toBe(0); // it has just begun
  expect(stuckFor(memory, last, 1450)).toBe(350);
  await pulse.beat(async () => undefined); // another model's, beside it
  expect(stuckFor(memory, last, 1500)).toBe(0);
  expect(stuckFor(memory, last, 1700)).toBe(200);
});

test("a step that fails has ended", async () => {
  const memory = pulseMemory();
  const pulse = new Pulse(memory);
  const last = { progress: 0, since: 0 };
  const failing = pulse.beat(() => Promise.reject(new Error("no")));
  await expect(failing).rejects.toThrow("no");
  stuckFor(memory, last, 10);
  expect(stuckFor(memory, last, 5000)).toBe(0);
});

test("the watch tells once, after its limit, and not when it was ended", () => {
  vi.useFakeTimers();
  try {
    const memory = pulseMemory();
    let stuck = 0;
    const end = watchPulse(memory, 800, () => (stuck += 1));
    vi.advanceTimersByTime(5000);
    expect(stuck).toBe(0);
    void new Pulse(memory).beat(never);
    vi.advanceTimersByTime(800);
    expect(stuck).toBe(0);
    vi.advanceTimersByTime(300);
    expect(stuck).toBe(1);
    vi.advanceTimersByTime(5000);
    expect(stuck).toBe(1);
    end();
    watchPulse(memory, 800, () => (stuck += 1))();
    vi.advanceTimersByTime(5000);
    expect(stuck).toBe(1);
  } finally {
    vi.useRealTimers();
  }
});
