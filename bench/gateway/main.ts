// npm run bench -- gateway: what the gateway adds to a request, beside a proxy that only pipes, and beside
// @portkey-ai/gateway where `--peers FOLDER` has it installed. Times are of this machine, processor time is steadier.
import { existsSync } from "node:fs";
import { cpus } from "node:os";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { join, resolve } from "node:path";
import { commit } from "../commit.ts";
import { saveRows } from "../results.ts";
import { Program } from "./process.ts";
import {
  ask,
  cpuPerRequest,
  firstBytes,
  holdStreams,
  openPool,
  quantile,
  slowReader,
  type Contender,
  type Turns,
  type Held,
} from "./measure.ts";

export interface GatewayBenchOptions {
  /** A folder with node_modules/@portkey-ai/gateway in it. */
  peers?: string | undefined;
  /** Requests per contender and figure. */
  rounds?: number;
  streams?: number;
  seconds?: number;
}

export interface GatewayRow {
  name: string;
  /** Of a JSON request over the direct one, in ms, once V8 has compiled what thousands of requests run through. */
  addedP50Ms: number;
  addedP99Ms: number;
  /** The same of the first thousand requests of its life, which are in part interpreted. */
  youngP50Ms: number;
  /** The same of requests with a pause of 20 ms before each, which find the processor's caches cold. */
  apartP50Ms: number;
  cpuPerRequestUs: number;
  /** Of an event that comes alone, a millisecond after the last: a read and a write of the system are in it. */
  cpuPerEventUs: number | undefined;
  /** Of one that comes as fast as the client takes them. */
  cpuPerBurstEventUs: number | undefined;
  /** The same as multiples of what the pipe takes in the same run: what a machine's system calls cost is in both. */
  requestOfPipe: number;
  eventOfPipe: number | undefined;
}

const here = import.meta.dirname;
const script = (name: string) => join(here, name + (import.meta.url.endsWith(".ts") ? ".ts" : ".js"));

export async function gateway(options: GatewayBenchOptions = {}): Promise<GatewayRow[]> {
  const neuron = await Program.start([...process.execArgv, script("neuron")], /^(\d+)$/);
  const contenders: Contender[] = [{ name: "direct", program: neuron, direct: true }];
  try {
    const pipe = await Program.start([...process.execArgv, script("pipe"), neuron.url], /^(\d+)$/);
    contenders.push({ name: "pipe", program: pipe });
    contenders.push({ name: "cortex", program: await startCortex(neuron.url) });
    if (options.peers) contenders.push(await tryStream(await startPortkey(options.peers, neuron.url)));
    const rows = await measure(contenders, options);
    saveRows(origin(), rows as unknown as Record<string, unknown>[]);
    return rows;
  } finally {
    await Promise.all(contenders.map(({ program }) => program.stop()));
  }
}

function origin() {
  const [adapter, driver] = [cpus()[0]?.model ?? "unknown", `Node ${process.versions.node}`];
  return { bench: "gateway", date: new Date().toISOString().slice(0, 10), commit: commit(), adapter, driver };
}

async function startCortex(neuron: string): Promise<Program> {
  const main = join(here, "../../gateway", import.meta.url.endsWith(".ts") ? "main.ts" : "main.js");
  const flags = ["serve", "--listen", "127.0.0.1:0"];
  return Program.start([...process.execArgv, main, ...flags], /^ready: .* on http:\/\/127\.0\.0\.1:(\d+)\//, {
    CORTEX_GATEWAY__METRICS_LISTEN: "127.0.0.1:0",
    CORTEX_NEURONS__0__NAME: "bench",
    CORTEX_NEURONS__0__ENDPOINT: neuron,
  });
}

async function startPortkey(peers: string, neuron: string): Promise<Contender> {
  const main = resolve(peers, "node_modules/@portkey-ai/gateway/build/start-server.js");
  if (!existsSync(main)) throw new Error(`${main} is not there: npm install @portkey-ai/gateway in ${peers}`);
  const port = await freePort();
  const program = await Program.start([main, "--headless", `--port=${port}`], new RegExp(`:(${port})`));
  const headers = { "x-portkey-provider": "openai", "x-portkey-custom-host": `${neuron}/v1` };
  return { name: "portkey", program, headers: { ...headers, authorization: "Bearer none" } };
}

/** Its current version fails on streams under some versions of Node. */
async function tryStream(contender: Contender): Promise<Contender> {
  const pool = openPool(contender, 1);
  const streams = await ask(pool, contender, { stream: true }).then(
    () => true,
    () => false,
  );
  await pool.destroy();
  if (!streams) console.log(`${contender.name} relays no stream under Node ${process.versions.node}`);
  return { ...contender, streams };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address() as AddressInfo;
  await new Promise((closed) => server.close(closed));
  return port;
}

async function measure(
  contenders: readonly Contender[],
  options: GatewayBenchOptions,
): Promise<GatewayRow[]> {
  const { rounds = 1000, streams = 500, seconds = 20 } = options;
  const { young, grown, apart } = await addedTimes(contenders, rounds);
  const streaming = contenders.filter(relays);
  const few = { rounds: Math.ceil(rounds / 4), warmUp: Math.ceil(rounds / 2) };
  const streamed = await firstBytes(streaming, few, { stream: true });
  const proxies = contenders.slice(1);
  const requests = await inTurn(proxies, (contender) => cpuPerRequest(contender, Math.ceil(rounds / 2)));
  const events = await cpuPerEvent(proxies.filter(relays), rounds, 1);
  const bursts = await cpuPerEvent(proxies.filter(relays), rounds, 0);
  const rows = proxies.map(({ name }): GatewayRow => {
    const [addedP50Ms, addedP99Ms] = [quantile(grown.get(name)!, 0.5), quantile(grown.get(name)!, 0.99)];
    const [youngP50Ms, apartP50Ms] = [quantile(young.get(name)!, 0.5), quantile(apart.get(name)!, 0.5)];
    const times = { addedP50Ms, addedP99Ms, youngP50Ms, apartP50Ms };
    const [cpuPerRequestUs, cpuPerEventUs] = [requests.get(name)!, events.get(name)];
    const cpu = { cpuPerRequestUs, cpuPerEventUs, cpuPerBurstEventUs: bursts.get(name) };
    const requestOfPipe = cpuPerRequestUs / requests.get("pipe")!;
    const eventOfPipe = cpuPerEventUs && cpuPerEventUs / events.get("pipe")!;
    return { name, ...times, ...cpu, requestOfPipe, eventOfPipe };
  });
  printRows(rows);
  for (const { name, times } of streamed)
    console.log(`first byte of a stream, ${name}: ${quantile(times, 0.5).toFixed(2)} ms`);
  for (const contender of streaming.slice(1)) {
    printHeld(contender.name, `${streams} streams`, await holdStreams(contender, streams, seconds));
    printHeld(contender.name, "a reader that does not read 256 MB", await slowReader(contender, 256, 5));
  }
  return rows;
}

/** After so many requests the times fall no further. */
const warmUpRounds = 3000;

/** What each request took over the direct one of its round, in ms, by contender. */
async function addedTimes(contenders: readonly Contender[], rounds: number) {
  const turns = {
    young: { rounds, warmUp: 50 },
    grown: { rounds, warmUp: warmUpRounds },
    apart: { rounds: Math.ceil(rounds / 4), warmUp: 0, apart: 20 },
  };
  const added = async (turn: Turns) => {
    const [direct, ...others] = await firstBytes(contenders, turn, {});
    return new Map(others.map(({ name, times }) => [name, times.map((ms, n) => ms - direct!.times[n]!)]));
  };
  // In this order: each finds the programs older.
  const young = await added(turns.young);
  return { young, grown: await added(turns.grown), apart: await added(turns.apart) };
}

const relays = ({ streams }: Contender) => streams !== false;
const turns = 9;

/** The least of each one's turns, by name: what else the machine does adds to processor time, and never takes from it. */
async function inTurn(
  contenders: readonly Contender[],
  one: (contender: Contender) => Promise<number>,
): Promise<Map<string, number>> {
  const found = new Map(contenders.map(({ name }) => [name, [] as number[]]));
  for (let turn = 0; turn < turns; turn += 1)
    for (const contender of contenders) found.get(contender.name)!.push(await one(contender));
  return new Map([...found].map(([name, values]) => [name, Math.min(...values)]));
}

/** In µs, by name: of long streams what short ones cost is taken off. */
async function cpuPerEvent(
  contenders: readonly Contender[],
  rounds: number,
  pauseMs: number,
): Promise<Map<string, number>> {
  const count = Math.ceil(rounds / 125);
  const cost = (events: number) =>
    inTurn(contenders, (contender) => cpuPerRequest(contender, count, { stream: true, events, pauseMs }));
  const [long, short] = [await cost(1000), await cost(1)];
  return new Map([...long].map(([name, us]) => [name, (us - short.get(name)!) / 999]));
}

function printRows(rows: readonly GatewayRow[]): void {
  const head = [
    "",
    "added p50",
    "added p99",
    "young p50",
    "20 ms apart",
    "CPU a request",
    "of the pipe's",
    "CPU an event",
    "of the pipe's",
    "in a burst",
  ];
  const us = (of: number | undefined) => (of === undefined ? "–" : `${of.toFixed(1)} µs`);
  const times = (of: number | undefined) => (of === undefined ? "–" : `${of.toFixed(2)} ×`);
  const lines = rows.map((row) => [
    row.name,
    `${row.addedP50Ms.toFixed(2)} ms`,
    `${row.addedP99Ms.toFixed(2)} ms`,
    `${row.youngP50Ms.toFixed(2)} ms`,
    `${row.apartP50Ms.toFixed(2)} ms`,
    `${row.cpuPerRequestUs.toFixed(0)} µs`,
    times(row.requestOfPipe),
    us(row.cpuPerEventUs),
    times(row.eventOfPipe),
    us(row.cpuPerBurstEventUs),
  ]);
  for (const cells of [head, ...lines]) console.log(cells.map((cell) => cell.padStart(14)).join(""));
}

function printHeld(name: string, what: string, { beforeMb, peakMb, afterMb, whole }: Held): void {
  const memory = `${beforeMb.toFixed(0)} MiB before, ${peakMb.toFixed(0)} at most, ${afterMb.toFixed(0)} after`;
  console.log(`${name}, ${what}: ${memory}; ${whole} whole`);
}
