// models: tokens a second of a whole model, prompt and decode, and which share of the adapter's own memory bandwidth
// decode reaches. A token must read every weight once, so 100 % is the wall.
//   npm run bench -- models FOLDER [--adapter NAME] | tail -1
import type { Gpu } from "../engine/gpu/adapter.ts";
import { loadModel } from "../engine/serve/device.ts";
import { Sequence } from "../engine/serve/oneSequence.ts";
import { commit } from "./commit.ts";
import { lowerPriority, readBandwidth, readCase } from "./walls.ts";

export interface ModelRow {
  name: string;
  tokens: number;
  tokensPerSecond: number;
  /** Decode only: bytes of weights × tokens/s over the bandwidth measured beside it. */
  share: number | undefined;
}

export interface ModelReport {
  folder: string;
  parameters: number;
  weightBytes: number;
  dispatchesPerToken: number;
  bandwidthGBs: number;
  rows: ModelRow[];
}

const prompts = [128, 512];
const decoded = 32;

/** Medians over `rounds`; bandwidth is measured in turn with them, so that other load falls on both. */
export async function models(gpu: Gpu, folder: string, rounds = 3): Promise<ModelReport> {
  const model = await loadModel(gpu, folder, { contextLength: 1024 });
  const wall = await readCase(gpu);
  if (gpu.report.kind === "software") lowerPriority();
  const { runner, info } = model;
  const times = new Map<string, number[]>();
  const bandwidths: number[] = [];
  const note = (name: string, seconds: number) => times.set(name, [...(times.get(name) ?? []), seconds]);
  let sequence = new Sequence(runner);
  try {
    for (let round = 0; round < rounds; round += 1) {
      bandwidths.push(await readBandwidth(gpu, wall));
      for (const tokens of prompts) {
        const ids = Array.from({ length: tokens }, (_, i) => 5 + (i % 97));
        sequence = new Sequence(runner);
        note(`prompt ${tokens}`, await seconds(() => sequence.prompt(ids, "token")));
      }
      note(
        `decode`,
        await seconds(async () => {
          for (let i = 0; i < decoded; i += 1) await sequence.feed(7 + i, "token");
        }),
      );
    }
  } finally {
    wall.plan.destroy();
    model.destroy();
  }
  const bandwidth = median(bandwidths);
  const rows = [...times].map(([name, all]): ModelRow => {
    const decode = name === "decode";
    const tokens = decode ? decoded : Number(name.split(" ")[1]);
    const tokensPerSecond = tokens / median(all);
    const share = decode ? (tokensPerSecond * info.weightBytes) / 1e9 / bandwidth : undefined;
    return { name, tokens, tokensPerSecond, share };
  });
  const { parameters, weightBytes, dispatchesPerToken } = info;
  return { folder, parameters, weightBytes, dispatchesPerToken, bandwidthGBs: bandwidth, rows };
}

export function printModels(gpu: Gpu, report: ModelReport): void {
  const { rows, ...about } = report;
  console.table(
    rows.map(({ name, tokensPerSecond, share }) => ({
      name,
      "tokens/s": tokensPerSecond.toFixed(1),
      "of bandwidth": share === undefined ? "" : `${(100 * share).toFixed(0)} %`,
    })),
  );
  console.log(JSON.stringify({ bench: "models", commit: commit(), device: gpu.report.name, ...about, rows }));
}

async function seconds(work: () => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await work();
  return (performance.now() - begun) / 1000;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!;
}
