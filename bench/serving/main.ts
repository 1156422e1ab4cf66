// serving: one neuron under an open load. Requests come as they come (Poisson), whether or not earlier ones have been
// answered: short and long prompts, pictures, tools, and callers who hang up. Every answer is held against what the same
// request gets alone. Ahead of that, closed loops of 1 and of 8 streams say what batching gives and what rate is bearable.
//   npm run bench -- serving [--seconds N] [--faults] [--adapter NAME]
// The wall: none is lost, none is wrong, memory stays where it was, and nobody waits without bound. With --faults things
// fail meanwhile, at random (faults.ts); who is told to come back does, until the answer is whole.
import { setTimeout as sleep } from "node:timers/promises";
import { Pool } from "undici";
import { commit } from "../commit.ts";
import { saveRows } from "../results.ts";
import { ask, type Answer } from "./ask.ts";
import { askAgain, faultsAtRandom, keepLoaded, limitsWithFaults, type Kept } from "./faults.ts";
import { startNeuron, type Neuron } from "./neuron.ts";
import { requests, type Request } from "./requests.ts";
import { median } from "../median.ts";

export interface ServingOptions {
  seconds: number;
  adapter: string | undefined;
  faults: boolean;
}

/** Of the rate that eight closed loops reach. */
const share = 0.7;
/** Of the callers, those who hang up. */
const leaving = 0.1;
const streams = 8;
const connections = { connections: 512, bodyTimeout: 0, headersTimeout: 0 };

interface Asked {
  request: Request;
  answer: Answer;
  /** How often it had to be asked. */
  times: number;
}

export async function serving({ seconds, adapter, faults }: ServingOptions): Promise<void> {
  const env = { NEURON_MAX_IN_FLIGHT: String(streams), NEURON_MAX_QUEUE: "256" };
  const planned = faults ? faultsAtRandom() : undefined;
  const failing = planned ? { ...limitsWithFaults, NEURON_FAULTS: planned } : {};
  let neuron = await startNeuron(adapter, env);
  let pool = new Pool(neuron.url, connections);
  try {
    const all = requests();
    const right = await alone(pool, all);
    const loopSeconds = Math.max(5, Math.min(30, seconds / 10));
    const one = await closed(pool, all, 1, loopSeconds);
    const eight = await closed(pool, all, streams, loopSeconds);
    const rate = share * eight.requestsPerS;
    console.log(`${all.length} kinds of requests; ${rate.toFixed(2)} of them a second for ${seconds} s`);
    if (planned) {
      console.log(`faults: ${planned}`);
      await pool.close();
      await neuron.stop();
      neuron = await startNeuron(adapter, { ...env, ...failing }); // so that all of them happen under the load
      pool = new Pool(neuron.url, connections);
    }
    const kept = planned ? keepLoaded(neuron.url) : undefined;
    const { asked, memory } = await open(pool, neuron, all, rate, seconds, planned !== undefined);
    const row = {
      ...{ seconds, rate, tokens_s_1: one.tokensPerS, tokens_s_8: eight.tokensPerS },
      ...(kept && told(planned!, await kept.end(), asked)),
      ...judged(asked, right),
      ...memory,
    };
    print(row);
    saveRows(await origin(neuron), [row]);
    if (row.lost + row.wrong + row.broken > 0) process.exitCode = 1;
  } finally {
    await pool.close();
    await neuron.stop();
  }
}

/** What failed, and what it cost. */
function told(faults: string, { losses, loads }: Kept, asked: readonly Asked[]) {
  return { faults, losses, loads, asked_again: asked.filter(({ times }) => times > 1).length };
}

/** What each request gets when nobody else is there. */
async function alone(pool: Pool, all: readonly Request[]): Promise<Map<string, string>> {
  const right = new Map<string, string>();
  for (const request of all) {
    const { outcome, text } = (await askAgain(pool, request)).answer;
    if (outcome !== "whole") throw new Error(`${request.name}, alone: ${outcome}: ${text}`);
    right.set(request.name, text);
  }
  return right;
}

/** So many streams, each asking again when it was answered. */
async function closed(
  pool: Pool,
  all: readonly Request[],
  count: number,
  seconds: number,
): Promise<{ tokensPerS: number; requestsPerS: number }> {
  const begun = performance.now();
  const until = begun + seconds * 1000;
  let [next, tokens, done] = [0, 0, 0];
  const loop = async () => {
    while (performance.now() < until) {
      const { answer } = await askAgain(pool, all[(next++ * 7) % all.length]!); // 7: neighbours are of one kind
      tokens += answer.tokens;
      done += 1;
    }
  };
  await Promise.all(Array.from({ length: count }, loop));
  const took = (performance.now() - begun) / 1000;
  return { tokensPerS: tokens / took, requestsPerS: done / took };
}

/** Arrivals at random times; resolves when the last was answered. */
async function open(
  pool: Pool,
  neuron: Neuron,
  all: readonly Request[],
  rate: number,
  seconds: number,
  again: boolean,
) {
  const begun = performance.now();
  const asked: Promise<Asked>[] = [];
  const resident: number[] = [];
  const sampling = setInterval(() => void neuron.residentMb().then((mb) => resident.push(mb)), 1000);
  for (let at = 0; at < seconds * 1000; at -= (1000 * Math.log(1 - Math.random())) / rate) {
    await sleep(Math.max(0, at - (performance.now() - begun)));
    const request = all[Math.floor(Math.random() * all.length)]!;
    const leaveAfter = Math.random() < leaving ? 1 + Math.floor(Math.random() * 20) : Infinity;
    const answered = again
      ? askAgain(pool, Math.random() < 1 / 3 ? whole(request) : request, leaveAfter)
      : ask(pool, request, leaveAfter).then((answer) => ({ answer, times: 1 }));
    asked.push(answered.then((all) => ({ request, ...all })));
  }
  const answered = await Promise.all(asked);
  clearInterval(sampling);
  // The heap settles in the first fifth; from there to the end it should stay.
  const settled = resident.slice(Math.floor(resident.length / 5));
  const tenth = Math.max(1, Math.floor(settled.length / 10));
  const [startMb, endMb] = [median(settled.slice(0, tenth)), median(settled.slice(-tenth))];
  return { asked: answered, memory: { memory_start_mb: startMb, memory_end_mb: endMb } };
}

/** The same, to be answered in one piece: what fails then has a status of its own. */
function whole(request: Request): Request {
  return { ...request, body: { ...request.body, stream: false, stream_options: null } };
}

function judged(asked: readonly Asked[], right: ReadonlyMap<string, string>) {
  const of = (outcome: Answer["outcome"]) => asked.filter(({ answer }) => answer.outcome === outcome);
  const isWrong = ({ request, answer }: Asked) => {
    const want = right.get(request.name)!;
    return answer.outcome === "whole" ? answer.text !== want : !want.startsWith(answer.text);
  };
  const wrong = [...of("whole"), ...of("cancelled")].filter(isWrong);
  for (const { request, answer } of [...wrong, ...of("lost"), ...of("broken")].slice(0, 5))
    console.log(`${request.name}: ${answer.outcome}: ${answer.text.slice(0, 200)}`);
  const whole = of("whole").map(({ answer }) => answer);
  const first = whole.flatMap(({ firstMs }) => (firstMs === undefined ? [] : [firstMs]));
  const gaps = whole.flatMap(({ gapsMs }) => gapsMs);
  return {
    ...{ requests: asked.length, whole: whole.length, cancelled: of("cancelled").length },
    ...{
      refused: of("refused").length,
      broken: of("broken").length,
      lost: of("lost").length,
      wrong: wrong.length,
    },
    ttft_ms: percentiles(first),
    gap_ms: percentiles(gaps),
    total_ms: percentiles(whole.map(({ totalMs }) => totalMs)),
  };
}

type Row = ReturnType<typeof judged> & Record<string, unknown>;

function print(row: Row): void {
  const { ttft_ms, gap_ms, total_ms, ...figures } = row;
  console.table(
    Object.fromEntries(
      Object.entries(figures).map(([name, value]) => [
        name,
        typeof value === "number" ? Math.round(value * 10) / 10 : value,
      ]),
    ),
  );
  console.table({ "first text, ms": ttft_ms, "between texts, ms": gap_ms, "whole answer, ms": total_ms });
  console.log(JSON.stringify({ bench: "serving", commit: commit(), ...row }));
}

function percentiles(values: readonly number[]): Record<"p50" | "p90" | "p99" | "max", number> {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number) =>
    Math.round(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0);
  return { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1) };
}

async function origin({ url }: Neuron) {
  const { devices } = (await (await fetch(`${url}/discovery`)).json()) as {
    devices: [{ name: string; driver: string }];
  };
  const date = new Date().toISOString().slice(0, 10);
  const [{ name, driver }] = devices;
  return { bench: "serving", date, commit: commit(), adapter: name, driver };
}
