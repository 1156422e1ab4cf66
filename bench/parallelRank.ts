// One of the other ranks of bench/parallel.ts.
import { workerData } from "node:worker_threads";
import { AllReduce } from "../engine/parallel/allReduce.ts";
import { meet, type Rehearsal } from "./rehearsal.ts";

const rehearsal = workerData as Rehearsal;
const { meeting, rank, values, rounds } = rehearsal;
const alive = setInterval(() => undefined, 1000);
const reduce = new AllReduce(meeting, rank);
const part = new Float32Array(values).fill(1);
for (let round = 0; round < rounds; round += 1) await meet(reduce, rehearsal, part);
clearInterval(alive);
