// decode and prefill: tokens a second of whole models, and which share of the adapter's ceilings that is. A token must
// read every weight once, a prompt must do two operations with every weight and token: 100 % is the wall, and walls are
// measured in turn with the models, in the same minutes.
//   npm run bench -- decode|prefill [MODEL …] [--quant TYPE] [--rounds N] [--tokens N] [--peer NAME]
//     [--adapter NAME]
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import type { Gpu } from "../engine/gpu/adapter.ts";
import { loadModel } from "../engine/serve/device.ts";
import { Sequence } from "../engine/serve/oneSequence.ts";
import { clockFor } from "./clock.ts";
import { hostTime, narrow } from "./hostTime.ts";
import { openPeer } from "./peers/index.ts";
import { originOf, saveRows } from "./results.ts";
import { shapeConfig, shapes } from "./shapes.ts";
import { synth } from "./synth.ts";
import { fmaCase, lowerPriority, readCase, type Case } from "./walls.ts";
import { median } from "./median.ts";

export type Phase = "decode" | "prefill";

export interface ModelOptions {
  phases: readonly Phase[];
  /** Alternations of everything that is measured. */
  rounds: number;
  quant?: string | undefined;
  /** Of a run; otherwise 32 decoded ones, and prompts of 128 and 512. */
  tokens?: number | undefined;
  /** An installed peer that runs the same shape in turn with ours. */
  peer?: string | undefined;
}

/** Medians over the rounds. */
export interface ModelRow {
  model: string;
  quant: string;
  phase: Phase;
  tokens: number;
  tokensPerSecond: number;
  /** Of the adapter's read bandwidth (decode) or f32 multiply-adds (prefill), by the clock that `clock` names. */
  share: number;
  clock: "wall" | "processor";
  dispatches: number;
  /** Of weights, a token. */
  bytes: number;
  /** Of JS, a decoded token of a shape, on a device that does nothing: a software adapter takes the host's own cores. */
  hostUs?: number;
  peer?: string;
  peerTokensPerSecond?: number;
  /** Ours / the peer's, the median of the rounds' ratios. */
  ratio?: number;
}

export const synthFolder = join(tmpdir(), "neuron-bench");
export const defaultModels = ["qwen3-0.6b", "qwen3.5-0.8b"];
const prompts = [128, 512];
const decoded = 32;

/** The folder of a model, or of a shape, whose checkpoint is written where it is not there yet. */
export async function folderOf(model: string): Promise<string> {
  if (!(model in shapes)) return model;
  const folder = join(synthFolder, model);
  if (!existsSync(join(folder, "model.safetensors"))) await synth(model, folder);
  return folder;
}

/** Measures, prints a table, keeps the rows. Errors: of the load; a peer that is not installed. */
export async function models(gpu: Gpu, name: string, options: ModelOptions): Promise<ModelRow[]> {
  const folder = await folderOf(name);
  const { quant } = options;
  const model = await loadModel(gpu, folder, { contextLength: 1024, ...(quant ? { quant } : {}) });
  const peer = options.peer
    ? await openPeer({ what: "model", peer: options.peer, folder, quant })
    : undefined;
  const walls = { decode: await readCase(gpu), prefill: await fmaCase(gpu) };
  const hostUs = name in shapes && { hostUs: (await hostTime(narrow(shapeConfig(name)), 200)).medianUs };
  if (gpu.report.kind === "software") lowerPriority();
  const { weightBytes, parameters, dispatchesPerToken } = model.info;
  const clock = clockFor(gpu);
  const rows: ModelRow[] = [];
  try {
    for (const phase of options.phases) {
      for (const tokens of lengths(phase, options.tokens)) {
        const run =
          phase === "decode" ? () => decode(model.runner, tokens) : () => prefill(model.runner, tokens);
        await run(); // the first warms up
        await peer?.run(phase, tokens);
        const rounds = [];
        for (let round = 0; round < options.rounds; round += 1)
          rounds.push(await oneRound(gpu, walls[phase], run, peer && (() => peer.run(phase, tokens))));
        const work = phase === "decode" ? weightBytes * tokens : 2 * parameters * tokens;
        const peers = rounds.flatMap(({ peerMs }) => (peerMs === undefined ? [] : [peerMs]));
        rows.push({
          ...{ model: basename(name), quant: quant ?? "as stored", phase, tokens, clock: clock.name },
          tokensPerSecond: median(rounds.map(({ ms }) => (1000 * tokens) / ms)),
          share: median(rounds.map(({ busyMs, wall }) => work / busyMs / 1e6 / wall)),
          ...{ dispatches: dispatchesPerToken, bytes: weightBytes },
          ...(phase === "decode" && hostUs),
          ...(peer && {
            peer: peer.name,
            peerTokensPerSecond: median(peers.map((ms) => (1000 * tokens) / ms)),
            ratio: median(rounds.map(({ ms, peerMs }) => peerMs! / ms)),
          }),
        });
      }
    }
  } finally {
    for (const { plan } of Object.values(walls)) plan.destroy();
    await peer?.close();
    model.destroy();
  }
  print(rows);
  console.log(saveRows(originOf(gpu, "models"), rows as unknown as Record<string, unknown>[]));
  return rows;
}

function lengths(phase: Phase, tokens: number | undefined): readonly number[] {
  if (tokens !== undefined) return [tokens];
  return phase === "decode" ? [decoded] : prompts;
}

interface Round {
  /** Of the run, by the wall clock. */
  ms: number;
  /** Of the run, by the clock that shares are taken by. */
  busyMs: number;
  /** GB/s or GFLOP/s, beside it. */
  wall: number;
  peerMs: number | undefined;
}

async function oneRound(
  gpu: Gpu,
  wall: Case,
  run: () => Promise<unknown>,
  peer: (() => Promise<number>) | undefined,
): Promise<Round> {
  const clock = clockFor(gpu);
  const rate = await rateOf(gpu, wall);
  const [begun, busyBegun] = [performance.now(), clock.now()];
  await run();
  const [ms, busyMs] = [performance.now() - begun, clock.now() - busyBegun];
  return { ms, busyMs, wall: rate, peerMs: await peer?.() };
}

/** The best of three. */
async function rateOf(gpu: Gpu, wall: Case): Promise<number> {
  const clock = clockFor(gpu);
  let best = Infinity;
  for (let i = 0; i < 3; i += 1) {
    const begun = clock.now();
    wall.plan.submit(wall.tokens);
    await gpu.device.queue.onSubmittedWorkDone();
    best = Math.min(best, (clock.now() - begun) / wall.repeats);
  }
  return wall.work / best / 1e6;
}

export type Runner = Awaited<ReturnType<typeof loadModel>>["runner"];

/** As the engine serves: each token is the one drawn before, and turns begin ahead of the results of those before. */
export async function decode(runner: Runner, tokens: number): Promise<void> {
  const sequence = new Sequence(runner);
  const flights: Promise<unknown>[] = [];
  for (let i = 0; i < tokens; i += 1) {
    flights.push(sequence.feed(i === 0 ? 7 : undefined, "token"));
    if (flights.length > runner.ahead) await flights.shift();
  }
  await Promise.all(flights);
}

export async function prefill(runner: Runner, tokens: number): Promise<void> {
  const ids = Array.from({ length: tokens }, (_, i) => 5 + (i % 97));
  await new Sequence(runner).prompt(ids, "token");
}

function print(rows: readonly ModelRow[]): void {
  console.table(
    rows.map(({ model, quant, phase, tokens, tokensPerSecond, share, ratio, dispatches, bytes, hostUs }) => ({
      ...{ model, quant, phase, tokens },
      "tokens/s": tokensPerSecond.toFixed(1),
      "of the wall": `${(100 * share).toFixed(0)} %`,
      "dispatches, MB a token": phase === "decode" ? `${dispatches}, ${(bytes / 1e6).toFixed(0)}` : "",
      "µs of JS": hostUs?.toFixed(0) ?? "",
      ...(ratio === undefined ? {} : { "times the peer": ratio.toFixed(2) }),
    })),
  );
  for (const row of rows) if (row.ratio !== undefined && row.ratio < 1) console.log(explain(row));
}

/** What keeps ours behind a peer: the adapter's own ceiling, and our distance from it. */
function explain({ phase, share, tokensPerSecond, ratio, peer }: ModelRow): string {
  const [atWall, wall] = [
    tokensPerSecond / share,
    phase === "decode" ? "read bandwidth" : "f32 multiply-adds",
  ];
  return (
    `behind ${peer!}: at all of the adapter's ${wall} it were ${atWall.toFixed(1)} tokens/s, ` +
    `${(ratio! / share).toFixed(2)} times the peer; ours takes ${(100 * share).toFixed(0)} % of that`
  );
}
