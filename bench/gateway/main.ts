// npm run bench -- gateway: what the gateway adds to a request, beside a proxy that only pipes, and beside
// @portkey-ai/gateway where `--peers FOLDER` has it installed. Times are of this machine, processor time is steadier.
import { existsSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { join, resolve } from "node:path";
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
  /** Of a JSON request over the direct one, in ms. */
  addedP50Ms: number;
  addedP99Ms: number;
  cpuPerRequestUs: number;
  cpuPerEventUs: number | undefined;
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
    return await measure(contenders, options);
  } finally {
    await Promise.all(contenders.map(({ program }) => program.stop()));
  }
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
  const [direct, ...others] = await firstBytes(contenders, rounds, {});
  const streaming = contenders.filter(({ streams }) => streams !== false);
  const streamed = await firstBytes(streaming, Math.ceil(rounds / 4), { stream: true });
  const rows: GatewayRow[] = [];
  for (const [i, { name, times }] of others.entries()) {
    const contender = contenders[i + 1]!;
    const added = times.map((ms, n) => ms - direct!.times[n]!);
    const [addedP50Ms, addedP99Ms] = [quantile(added, 0.5), quantile(added, 0.99)];
    const cpuPerRequestUs = await cpuPerRequest(contender, 4 * rounds);
    const cpuPerEventUs = streaming.includes(contender) ? await cpuPerEvent(contender, rounds) : undefined;
    rows.push({ name, addedP50Ms, addedP99Ms, cpuPerRequestUs, cpuPerEventUs });
  }
  printRows(rows);
  for (const { name, times } of streamed)
    console.log(`first byte of a stream, ${name}: ${quantile(times, 0.5).toFixed(2)} ms`);
  for (const contender of streaming.slice(1)) {
    printHeld(contender.name, `${streams} streams`, await holdStreams(contender, streams, seconds));
    printHeld(contender.name, "a reader that does not read 256 MB", await slowReader(contender, 256, 5));
  }
  return rows;
}

/** Of long streams what short ones cost is taken off. */
async function cpuPerEvent(contender: Contender, rounds: number): Promise<number> {
  const count = Math.ceil(rounds / 20);
  const long = await cpuPerRequest(contender, count, { stream: true, events: 2000, pauseMs: 1 });
  const short = await cpuPerRequest(contender, count, { stream: true, events: 1 });
  return (long - short) / 1999;
}

function printRows(rows: readonly GatewayRow[]): void {
  const head = ["", "added p50", "added p99", "CPU a request", "CPU an event"];
  const lines = rows.map((row) => [
    row.name,
    `${row.addedP50Ms.toFixed(2)} ms`,
    `${row.addedP99Ms.toFixed(2)} ms`,
    `${row.cpuPerRequestUs.toFixed(0)} µs`,
    row.cpuPerEventUs === undefined ? "–" : `${row.cpuPerEventUs.toFixed(1)} µs`,
  ]);
  for (const cells of [head, ...lines]) console.log(cells.map((cell) => cell.padStart(14)).join(""));
}

function printHeld(name: string, what: string, { beforeMb, peakMb, afterMb, whole }: Held): void {
  const memory = `${beforeMb.toFixed(0)} MiB before, ${peakMb.toFixed(0)} at most, ${afterMb.toFixed(0)} after`;
  console.log(`${name}, ${what}: ${memory}; ${whole} whole`);
}
