// The time that something takes on the device. A software adapter's is the processor time of the threads that compute,
// shared out among the cores: another load on the machine falls on the wall clock, and hardly on this one.
import { readFileSync, readdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import type { Gpu } from "../engine/gpu/adapter.ts";

export interface Clock {
  /** Milliseconds, from any beginning. */
  now(): number;
  /** For tables and records. */
  readonly name: "wall" | "processor";
}

const wall: Clock = { name: "wall", now: () => performance.now() };

/** Of all threads of this process but the main one, which only polls. */
const processor: Clock = {
  name: "processor",
  now() {
    const tasks = readdirSync("/proc/self/task").filter((task) => Number(task) !== process.pid);
    const spent = tasks.reduce((sum, task) => sum + nanosecondsOf(task), 0);
    return spent / 1e6 / availableParallelism();
  },
};

export function clockFor(gpu: Gpu): Clock {
  return gpu.report.kind === "software" && process.platform === "linux" ? processor : wall;
}

function nanosecondsOf(task: string): number {
  try {
    return Number(readFileSync(`/proc/self/task/${task}/schedstat`, "utf8").split(" ")[0]);
  } catch {
    return 0; // it has ended meanwhile
  }
}
