// A model dealt to several devices against the goldens: logical devices on one adapter, all in this thread, with the
// kernels, the loader and the sums that serving uses.
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { openCheckpoint } from "../formats/checkpoint.ts";
import { openGpu } from "../gpu/adapter.ts";
import type { Exchange } from "../gpu/plan.ts";
import { parseConfig } from "../models/config.ts";
import { Loader } from "../models/loader.ts";
import { architectures } from "../models/registry.ts";
import { packageRoot } from "../root.ts";
import { difference } from "../verify/compare.ts";
import { readCases, readGolden } from "../verify/golden.ts";
import { Tracer, type Piece } from "../verify/trace.ts";
import { AllReduce, createMeeting } from "./allReduce.ts";
import { sharesOf } from "./slices.ts";
import { sliced } from "./sliced.ts";

/** Tokens of the longest case that is run. */
const capacity = 160;
/** Large sums take several of these, the last of them a short one. */
const slice = 2999;

async function openRanks(name: string, weights: number[], deaf = false): Promise<Tracer[]> {
  const folder = join(packageRoot, "test-fixtures/reference", name);
  const checkpoint = await openCheckpoint(folder);
  onTestFinished(() => checkpoint.close());
  const config = parseConfig(checkpoint.config, checkpoint.configFile);
  const meeting = createMeeting({ ranks: weights.length, capacity: capacity * config.hidden, slice });
  return Promise.all(
    sharesOf(config, weights).map(async (share) => {
      const gpu = await openGpu({ adapter: process.env["NEURON_TEST_ADAPTER"] }, () => undefined);
      const loader = new Loader(gpu, sliced(checkpoint, share));
      const network = await architectures[config.modelType](loader, share.config);
      await loader.fill();
      const meets = new AllReduce(meeting, share.rank);
      const exchange = deaf ? deafened(meets) : meets;
      const tracer = await Tracer.create(gpu, network, share.config, capacity, exchange);
      onTestFinished(() => gpu.destroy());
      return tracer;
    }),
  );
}

/** It hears only itself. */
function deafened({ rank, slice, times }: AllReduce): Exchange {
  const given: Float32Array[] = [];
  return {
    ...{ rank, slice, times },
    give: (values) => void given.push(values.slice()),
    take: async (out) => out.set(given.shift()!),
  };
}

async function feed(
  ranks: readonly Tracer[],
  ids: readonly number[],
  piece?: Piece,
): Promise<Float32Array[]> {
  for (const rank of ranks) rank.reset();
  const traces = await Promise.all(ranks.map((rank) => rank.feed(ids, piece)));
  return traces.map((trace) => trace.get("logits")!);
}

describe.each([
  ["qwen3_5-tiny-text", [1, 1]],
  ["qwen3-tiny-tied", [3, 1]],
  ["llama3-tiny-ropescaled", [1, 1, 1, 1]],
  ["qwen2-tiny-sharded", [1, 1]],
])("%s over %j", (name, weights) => {
  test("the reference's logits, on every rank the same bits", { timeout: 300_000 }, async () => {
    const folder = join(packageRoot, "test-fixtures/reference", name);
    const { cases, tolerance } = await readCases(folder);
    const ranks = await openRanks(name, weights);
    const shortest = [...cases].sort((a, b) => a.input_ids.length - b.input_ids.length);
    for (const one of shortest.slice(0, 1)) {
      const golden = (await readGolden(folder, one)).get("logits")!.data;
      const logits = await feed(ranks, one.input_ids);
      const { maxAbs, relativeRms } = difference(logits[0]!, golden);
      const close = tolerance.bf16_engine_logits_rel_rms!;
      expect({ maxAbs, fine: relativeRms <= close }, one.name).toMatchObject({ fine: true });
      for (const other of logits.slice(1)) expect(Buffer.compare(bytes(other), bytes(logits[0]!))).toBe(0);
      const again = await feed(ranks, one.input_ids.slice(0, 9), 1);
      const slow = again[0]!;
      expect(difference(slow, golden.slice(0, slow.length)).relativeRms, "token by token").toBeLessThan(
        close,
      );
    }
  });
});

test("ranks that do not hear one another are found out", { timeout: 300_000 }, async () => {
  const folder = join(packageRoot, "test-fixtures/reference/qwen2-tiny-sharded");
  const { cases, tolerance } = await readCases(folder);
  const ids = cases[0]!.input_ids.slice(0, 12);
  const golden = (await readGolden(folder, cases[0]!)).get("logits")!.data;
  const [logits] = await feed(await openRanks("qwen2-tiny-sharded", [1, 1], true), ids);
  const { relativeRms } = difference(logits!, golden.slice(0, logits!.length));
  expect(relativeRms).toBeGreaterThan(tolerance.bf16_engine_logits_rel_rms!);
});

function bytes({ buffer, byteOffset, byteLength }: Float32Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}
