// What a load waits for, and when it is given up: a device of the null backend, and time by hand.
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { TensorSource } from "../formats/checkpoint.ts";
import { openGpu } from "../gpu/adapter.ts";
import { kernelsOf } from "../gpu/kernel.ts";
import { LoadWatch, watchedConverter, watchedSource } from "./loadWatch.ts";
import { Pulse, pulseMemory, stuckFor } from "./pulse.ts";

const gpu = await openGpu({ backend: "null" }, () => undefined);
const never = new Promise<never>(() => undefined);

let memory: ReturnType<typeof pulseMemory>;
let watch: LoadWatch;
beforeEach(() => {
  vi.useFakeTimers();
  memory = pulseMemory();
  watch = new LoadWatch({ limitMs: 800, name: "m", gpu, pulse: new Pulse(memory) });
});
afterEach(() => {
  watch.end();
  vi.useRealTimers();
});

/** What becomes of it, heard from now on. */
const outcome = (work: Promise<unknown>) =>
  work.then(
    () => "done",
    (error: Error) => error.message,
  );

function source(stream: TensorSource["stream"]): TensorSource {
  const unused = () => {
    throw new Error("unused");
  };
  return {
    ...{ format: "gguf", quant: undefined, folder: "m", has: () => true },
    ...{ entry: unused, expectTensor: unused, readF32: () => never, stream },
  };
}

test("work that comes back in time goes through, and its failure too", async () => {
  expect(await watch.during("a", Promise.resolve(5))).toBe(5);
  await expect(watch.during("a", Promise.reject(new Error("no")))).rejects.toThrow("no");
  vi.advanceTimersByTime(700);
  watch.forward();
  vi.advanceTimersByTime(700);
  expect(watch.error).toBeUndefined();
});

test("what waits for longest is named, and nothing goes on afterwards", async () => {
  const first = watch.during("reading a", never);
  const second = watch.during("reading b", never);
  vi.advanceTimersByTime(1000);
  const failure = { code: "load_stalled", message: "m: given up after 0.8 s without progress in reading a" };
  for (const one of [first, second, watch.guard(never)]) await expect(one).rejects.toMatchObject(failure);
  expect(() => watch.forward()).toThrow("given up");
});

test("nobody but the device can be waited for: it is the device that hangs", async () => {
  const waiting = watch.guard(never);
  vi.advanceTimersByTime(1000);
  await expect(waiting).rejects.toMatchObject({
    code: "device_lost",
    message: `${gpu.report.name}: it did nothing for 0.8 s while m was put on it`,
  });
});

test("a kernel that never compiles is named, and compiled anew the next time", async () => {
  const { device } = gpu;
  const compile = device.createComputePipelineAsync;
  device.createComputePipelineAsync = () => never;
  const request = { name: "argmax", parts: ["reduce"], constants: { V: 7 } };
  const waiting = watch.guard(kernelsOf(gpu).pipeline(request));
  vi.advanceTimersByTime(1000);
  await expect(waiting).rejects.toThrow("without progress in compiling argmax [reduce]");
  device.createComputePipelineAsync = compile;
  expect(kernelsOf(gpu).progress.compiling).toBeUndefined();
});

test("a piece that is read too late is not handed on", async () => {
  let arrive: () => void = () => undefined;
  const seen: number[] = [];
  const slow = source(async (_name, _options, sink) => {
    await sink(new Uint8Array(1), 0);
    await new Promise<void>((resolve) => (arrive = resolve));
    await sink(new Uint8Array(1), 1);
  });
  const streaming = outcome(watchedSource(slow, watch).stream("w", {}, (_chunk, row) => void seen.push(row)));
  await vi.advanceTimersByTimeAsync(1000);
  expect(await streaming).toContain("in reading w");
  arrive();
  await vi.advanceTimersByTimeAsync(10);
  expect(seen).toEqual([0]);
});

test("a sink that waits for the device is no reading, and a conversion is one of its own", async () => {
  const stuck = watchedSource(
    source(async (_name, _options, sink) => sink(new Uint8Array(1), 0)),
    watch,
  );
  const converter = watchedConverter({ width: 1, convert: () => never, close: async () => undefined }, watch);
  const rows = new Uint8Array(4);
  const streaming = outcome(stuck.stream("w", {}, () => never));
  await vi.advanceTimersByTimeAsync(400);
  const converting = outcome(converter.convert({ from: "F32", to: "Q4_K", K: 1, rows }, () => undefined));
  await vi.advanceTimersByTimeAsync(600);
  const given = "m: given up after 0.8 s without progress in converting rows to Q4_K";
  expect([await streaming, await converting]).toEqual([given, given]);
});

test("a thread that is stuck itself shows in the pulse, and only while a load runs", async () => {
  const last = { progress: 0, since: 0 };
  stuckFor(memory, last, 0);
  vi.advanceTimersByTime(700);
  watch.forward();
  expect(stuckFor(memory, last, 700)).toBe(0); // it looked meanwhile
  expect(stuckFor(memory, last, 2000)).toBe(1300); // it did not
  watch.end();
  await Promise.resolve();
  stuckFor(memory, last, 2100);
  expect(stuckFor(memory, last, 9000)).toBe(0);
});
