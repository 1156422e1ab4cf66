// What is asked of each program in turn. Every figure of one table comes from alternating runs, for the machine's mood
// changes from second to second.
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { Pool } from "undici";
import type { Program } from "./process.ts";

export interface Contender {
  name: string;
  program: Program;
  /** The neuron itself has no processor time of a proxy's. */
  direct?: boolean;
  headers?: Record<string, string>;
  /** False for one that cannot relay a stream here. */
  streams?: boolean;
}

const message = { role: "user", content: "What is the capital of France? Answer with one word." };

export interface Ask {
  stream?: boolean;
  events?: number;
  pauseMs?: number;
  bytes?: number;
}

export function openPool({ program }: Contender, connections: number): Pool {
  return new Pool(program.url, { connections, bodyTimeout: 0, headersTimeout: 0 });
}

/** One request to its last byte; ms to the first byte of the body. */
export async function ask(pool: Pool, { headers }: Contender, asked: Ask = {}): Promise<number> {
  const { stream = false, events = 16, pauseMs = 0, bytes = 8 } = asked;
  const body = {
    model: "bench",
    messages: [message],
    stream,
    max_tokens: events,
    user: `${pauseMs} ${bytes}`,
  };
  const started = performance.now();
  const answer = await pool.request({
    ...{ path: "/v1/chat/completions", method: "POST", body: JSON.stringify(body) },
    headers: { "content-type": "application/json", ...headers },
  });
  if (answer.statusCode !== 200) throw new Error(`status ${answer.statusCode}: ${await answer.body.text()}`);
  let first: number | undefined;
  answer.body.once("data", () => (first = performance.now()));
  await once(answer.body, "end");
  return first! - started;
}

export interface FirstBytes {
  name: string;
  /** ms, in the order of asking. */
  times: number[];
}

export interface Turns {
  /** Requests to each. */
  rounds: number;
  /** Before them, which are not counted. */
  warmUp: number;
  /** Between requests, in ms: those far apart find the processor's caches full of others' work. */
  apart?: number;
}

/** Requests to each, one after another, whoever comes first in a round drawn by lot: the one before leaves its traces. */
export async function firstBytes(
  contenders: readonly Contender[],
  { rounds, warmUp, apart }: Turns,
  asked: Ask,
): Promise<FirstBytes[]> {
  const pools = contenders.map((contender) => openPool(contender, 1));
  const results = contenders.map(({ name }) => ({ name, times: [] as number[] }));
  for (let round = -warmUp; round < rounds; round += 1)
    for (const i of shuffled(contenders.length)) {
      if (apart !== undefined && round >= 0) await sleep(apart);
      const ms = await ask(pools[i]!, contenders[i]!, asked);
      if (round >= 0) results[i]!.times.push(ms);
    }
  await Promise.all(pools.map((pool) => pool.close()));
  return results;
}

function shuffled(count: number): number[] {
  const lots = Array.from({ length: count }, (_, i) => ({ i, lot: Math.random() }));
  return lots.sort((a, b) => a.lot - b.lot).map(({ i }) => i);
}

/** Processor time of a program per request, in µs: `count` of them, eight at a time. */
export async function cpuPerRequest(contender: Contender, count: number, asked: Ask = {}): Promise<number> {
  const pool = openPool(contender, 8);
  const one = () => ask(pool, contender, asked);
  await inParallel(8, Math.min(200, count), one);
  const before = contender.program.cpuUs;
  await inParallel(8, count, one);
  const spent = contender.program.cpuUs - before;
  await pool.close();
  return spent / count;
}

export interface Held {
  beforeMb: number;
  peakMb: number;
  afterMb: number;
  /** Streams that came to their end. */
  whole: number;
}

/** Memory while `streams` run at once for about `seconds`. */
export async function holdStreams(contender: Contender, streams: number, seconds: number): Promise<Held> {
  const pool = openPool(contender, streams);
  const beforeMb = contender.program.rssMb;
  let peakMb = beforeMb;
  const watch = setInterval(() => (peakMb = Math.max(peakMb, contender.program.rssMb)), 100);
  const asked = { stream: true, events: seconds * 10, pauseMs: 100 };
  const ended = await Promise.allSettled(Array.from({ length: streams }, () => ask(pool, contender, asked)));
  clearInterval(watch);
  await pool.close();
  await sleep(1000);
  const whole = ended.filter(({ status }) => status === "fulfilled").length;
  return { beforeMb, peakMb, afterMb: contender.program.rssMb, whole };
}

/** Memory while a client reads nothing of a stream of `megabytes`. */
export async function slowReader(contender: Contender, megabytes: number, seconds: number): Promise<Held> {
  const pool = openPool(contender, 1);
  const beforeMb = contender.program.rssMb;
  let peakMb = beforeMb;
  const events = Math.ceil((megabytes * 2 ** 20) / 65536);
  const body = { model: "bench", messages: [message], stream: true, max_tokens: events, user: "0 65536" };
  const answer = await pool.request({
    ...{ path: "/v1/chat/completions", method: "POST", body: JSON.stringify(body) },
    headers: { "content-type": "application/json", ...contender.headers },
  });
  for (let waited = 0; waited < seconds; waited += 0.1) {
    await sleep(100);
    peakMb = Math.max(peakMb, contender.program.rssMb);
  }
  let bytes = 0;
  for await (const chunk of answer.body) bytes += (chunk as Buffer).length;
  await pool.close();
  const whole = bytes > megabytes * 2 ** 20 ? 1 : 0;
  return { beforeMb, peakMb, afterMb: contender.program.rssMb, whole };
}

async function inParallel(width: number, count: number, one: () => Promise<unknown>): Promise<void> {
  let left = count;
  const lane = async () => {
    while (left-- > 0) await one();
  };
  await Promise.all(Array.from({ length: width }, lane));
}

/** The value below which a share of them lies. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!;
}
