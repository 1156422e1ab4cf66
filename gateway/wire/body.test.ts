import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import type { Valve } from "./body.ts";
import { Body } from "./body.ts";

/** A connection that has these pieces for us, and gives them as long as it is not made to wait. */
function connection(...pieces: string[]) {
  const did: string[] = [];
  const left = [...pieces];
  let paused = false;
  const valve: Valve = {
    pause: () => void (paused = true),
    resume() {
      if (!paused) return;
      paused = false;
      did.push("resume");
      body.push(Buffer.alloc(0)); // as undici's parser does
      flow();
    },
    abort: ({ message }) => void did.push(message),
  };
  const body = new Body(valve);
  const flow = () => {
    while (!paused && left.length > 0) body.push(Buffer.from(left.shift()!));
    if (!paused && left.length === 0) body.close();
  };
  return { body, did, left, flow };
}

/** Takes so many pieces at a time. */
function taker(most: number) {
  const heard: string[] = [];
  let taken = 0;
  return {
    heard,
    data: (chunk: Buffer) => (heard.push(chunk.toString()), ++taken % most !== 0),
    end: () => void heard.push("end"),
    fail: ({ message }: Error) => void heard.push(message),
  };
}

test("what comes before anybody takes it is kept, one piece of it, and the rest waits", () => {
  const { body, left, flow } = connection("a", "b", "c");
  flow();
  expect(left).toEqual(["b", "c"]);
  const all = taker(9);
  body.take(all);
  expect(all.heard).toEqual(["a", "b", "c", "end"]);
});

test("a taker that has enough hears the rest when it asks for it", () => {
  const { body, did, flow } = connection("a", "b", "c");
  const slow = taker(2);
  body.take(slow);
  flow();
  expect([slow.heard, did]).toEqual([["a", "b"], []]);
  body.resume();
  expect([slow.heard, did]).toEqual([["a", "b", "c", "end"], ["resume"]]);
});

test("a connection that breaks is told, before and after somebody takes it", () => {
  for (const early of [true, false]) {
    const body = new Body({ pause: () => {}, resume: () => {}, abort: () => {} });
    const one = taker(9);
    if (!early) body.take(one);
    body.push(Buffer.from("a"));
    body.close(new Error("gone"));
    if (early) body.take(one);
    expect(one.heard).toEqual(["a", "gone"]);
  }
});

test("who was aborted hears no more; one that has ended is not aborted", () => {
  const { body, did } = connection("a");
  const one = taker(9);
  body.take(one);
  body.abort();
  body.push(Buffer.from("late"));
  body.close(new Error("aborted"));
  expect([one.heard, did]).toEqual([[], ["not wanted any more"]]);
  body.abort();
  expect(did).toHaveLength(1);
});

test("a loop takes one piece after another; leaving it closes the connection", async () => {
  const whole = connection("a", "b", "c");
  whole.flow();
  const heard: string[] = [];
  for await (const chunk of whole.body) heard.push(chunk.toString());
  expect(heard).toEqual(["a", "b", "c"]);
  const long = connection("a", "b", "c");
  long.flow();
  for await (const chunk of long.body) if (chunk.toString() === "b") break;
  expect([long.did.at(-1), long.left]).toEqual(["not wanted any more", ["c"]]);
  const broken = new Body({ pause: () => {}, resume: () => {}, abort: () => {} });
  const loop = (async () => {
    for await (const chunk of broken) heard.push(chunk.toString());
  })();
  void sleep(5).then(() => broken.close(new Error("gone")));
  await expect(loop).rejects.toThrow("gone");
});
