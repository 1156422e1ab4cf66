// The second rank of a test, in a thread of its own.
import { workerData } from "node:worker_threads";
import { AllReduce, type Meeting } from "./allReduce.ts";

// Waiting for shared memory does not keep a thread alive.
const alive = setInterval(() => undefined, 1000);
const reduce = new AllReduce(workerData as Meeting, 1);
const out = new Float32Array(2048);
for (let call = 0; call < 200; call += 1) {
  reduce.give(new Float32Array(2048).fill(1000 * call));
  await reduce.take(out);
}
clearInterval(alive);
