import { Worker } from "node:worker_threads";
import { expect, test } from "vitest";
import { createRing, SharedRelay, type Ring } from "./relay.ts";

const file = new URL("./relay.fixture.ts", import.meta.url);
const execArgv = ["--import", new URL("../../test-fixtures/typescript.mjs", import.meta.url).href];

test("values go round a ring of three, whoever is early", async () => {
  const ring = createRing(3, 7);
  const [a, b, c] = [0, 1, 2].map((stage) => new SharedRelay(ring, stage)) as [
    SharedRelay,
    SharedRelay,
    SharedRelay,
  ];
  const stage = async (relay: SharedRelay, from: number, to: number) => {
    for (let round = 0; round < 9; round += 1) {
      const values = new Float32Array(1 + (round % 7));
      if ((round + from) % 3 === 0) await new Promise((wake) => setTimeout(wake, 1));
      await relay.receive(values, from);
      await relay.send(
        values.map((value) => 10 * value + to),
        to,
      );
    }
  };
  const others = [stage(b, 0, 2), stage(c, 1, 0)];
  for (let round = 0; round < 9; round += 1) {
    const length = 1 + (round % 7);
    await a.send(new Float32Array(length).fill(round), 1);
    const back = new Float32Array(length);
    await a.receive(back, 2);
    expect([...back]).toEqual(Array.from({ length }, () => 100 * round + 20));
  }
  await Promise.all(others);
  expect(a.times).toMatchObject({ sent: 9, received: 9 });
});

test("a stage may be one ahead, and then waits", async () => {
  const ring = createRing(2, 1);
  const [a, b] = [new SharedRelay(ring, 0), new SharedRelay(ring, 1)];
  await a.send(Float32Array.of(1), 1);
  await a.send(Float32Array.of(2), 1);
  let third = false;
  const sending = a.send(Float32Array.of(3), 1).then(() => (third = true));
  await new Promise((wake) => setTimeout(wake, 10));
  expect(third).toBe(false);
  const heard: number[] = [];
  for (let i = 0; i < 3; i += 1) {
    const out = new Float32Array(1);
    await b.receive(out, 0);
    heard.push(out[0]!);
  }
  await sending;
  expect(heard).toEqual([1, 2, 3]);
});

test("a stage that fails frees the others, for good; one that does not come is not waited for for ever", async () => {
  const ring = createRing(3, 4);
  const [a, b, c] = [0, 1, 2].map((stage) => new SharedRelay(ring, stage));
  const waiting = b!.receive(new Float32Array(4), 0);
  c!.fail();
  await expect(waiting).rejects.toMatchObject({ code: "device_lost", message: "stage 2 of 3 failed" });
  await expect(a!.send(new Float32Array(1), 1)).rejects.toThrow("stage 2 of 3 failed");
  const late = new SharedRelay(createRing(2, 4), 1, 20);
  await expect(late.receive(new Float32Array(1), 0)).rejects.toThrow("stage 0 of 2 did not come in 20 ms");
});

test("what has no room, or goes elsewhere, is a bug", async () => {
  const relay = new SharedRelay(createRing(3, 4), 0);
  await expect(relay.send(new Float32Array(5), 1)).rejects.toThrow("5 values to hand over");
  await expect(relay.send(new Float32Array(1), 2)).rejects.toThrow("from stage 0 to 2 of 3");
});

test("threads of their own meet as well", async () => {
  const ring = createRing(2, 64);
  const thread = new Worker(file, { workerData: ring satisfies Ring, execArgv });
  const relay = new SharedRelay(ring, 0);
  const back = new Float32Array(64);
  for (let call = 0; call < 100; call += 1) {
    await relay.send(new Float32Array(64).fill(call), 1);
    await relay.receive(back, 1);
    expect(back[call % 64]).toBe(call + 0.5);
  }
  await thread.terminate();
});
