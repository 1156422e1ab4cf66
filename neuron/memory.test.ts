import { afterEach, expect, test, vi } from "vitest";
import type { DeviceMemory } from "../engine/index.ts";
import { deviceReport } from "./fake-engine.fixture.ts";
import { watchMemory } from "./memory.ts";
import type { MemoryWatch } from "./memory.ts";

let watch: MemoryWatch | undefined;
afterEach(() => watch?.stop());

test("answers at once with what is known, then with what was read, and keeps that when reading fails", async () => {
  const readings: { resolve(figures: DeviceMemory): void; reject(error: Error): void }[] = [];
  const read = () => new Promise<DeviceMemory>((resolve, reject) => readings.push({ resolve, reject }));
  watch = watchMemory({ ...deviceReport, memoryTotalMb: undefined }, read, 5);
  expect(watch.current()).toEqual({ totalMb: null, usedMb: null, freeMb: null });
  readings[0]!.resolve({ totalMb: 8000, usedMb: 500 });
  await watch.first;
  expect(watch.current()).toEqual({ totalMb: 8000, usedMb: 500, freeMb: 7500 });
  await vi.waitUntil(() => readings.length === 2);
  readings[1]!.reject(new Error("the tool has gone"));
  await vi.waitUntil(() => readings.length === 3);
  expect(watch.current().usedMb).toBe(500);
  readings[2]!.resolve({ totalMb: 8000, usedMb: 700 });
  await vi.waitUntil(() => readings.length === 4);
  expect(watch.current().usedMb).toBe(700);
  watch.stop();
  readings[3]!.resolve({ totalMb: 8000, usedMb: 900 });
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(readings.length).toBe(4);
});

test("the report's own total stands; nobody knows the rest", async () => {
  watch = watchMemory({ ...deviceReport, memoryTotalMb: 24_000 }, () => Promise.resolve(undefined));
  await watch.first;
  expect(watch.current()).toEqual({ totalMb: 24_000, usedMb: null, freeMb: null });
});
