// The second stage of a test, in a thread of its own.
import { workerData } from "node:worker_threads";
import { SharedRelay, type Ring } from "./relay.ts";

// Waiting for shared memory does not keep a thread alive.
const alive = setInterval(() => undefined, 1000);
const relay = new SharedRelay(workerData as Ring, 1);
const values = new Float32Array(64);
for (let call = 0; call < 100; call += 1) {
  await relay.receive(values, 0);
  await relay.send(
    values.map((value) => value + 0.5),
    0,
  );
}
clearInterval(alive);
