// A model dealt to several devices: logical devices on one adapter, all in this thread, with the kernels, the loader and
// the sums that serving uses. More models are in verify/spread.gpu.test.ts, where parts share a device.
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { openCheckpoint } from "../formats/checkpoint.ts";
import { openGpu, prepareAdapter } from "../gpu/adapter.ts";
import type { Exchange } from "../gpu/pass.ts";
import { parseConfig } from "../models/config.ts";
import { Loader } from "../models/loader.ts";
import { architectures } from "../models/registry.ts";
import { packageRoot } from "../root.ts";
import { difference } from "../verify/compare.ts";
import { readCases, readGolden } from "../verify/golden.ts";
import { besideOneAnother } from "../verify/spread.ts";
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
  const adapter = await prepareAdapter({ adapter: process.env["NEURON_TEST_ADAPTER"] }); // once: never two at a time
  const meeting = createMeeting({ ranks: weights.length, capacity: capacity * config.hidden, slice });
  return Promise.all(
    sharesOf(config, weights).map(async (share) => {
      const gpu = await openGpu(adapter, () => undefined);
      const loader = new Loader(gpu, sliced(checkpoint, share));
      const network = await architectures[config.modelType](loader, share.config);
      await loader.fill();
      const meets = new AllReduce(meeting, share.rank);
      const exchange = deaf ? deafened(meets) : meets;
      const tracer = await Tracer.create(gpu, network, share.config, capacity, { exchange });
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
    gather: () => Promise.reject(new Error("nothing is drawn here")),
  };
}

async function feed(
  ranks: readonly Tracer[],
  ids: readonly number[],
  piece?: Piece,
): Promise<{ logits: Float32Array; streams: Float32Array[] }> {
  for (const rank of ranks) rank.reset();
  const traces = await Promise.all(ranks.map((rank) => rank.feed(ids, piece)));
  const parts = traces.map((trace) => trace.get("logits")!);
  const widths = parts.map(({ length }) => length / ids.length);
  return {
    logits: besideOneAnother(parts, widths),
    streams: traces.map((trace) => trace.get("hidden.final_norm")!),
  };
}

test(
  "devices of their own agree with the reference, each with the same bits",
  { timeout: 300_000 },
  async () => {
    const folder = join(packageRoot, "test-fixtures/reference/qwen2-tiny-sharded");
    const { cases, tolerance } = await readCases(folder);
    const golden = (await readGolden(folder, cases[0]!)).get("logits")!.data;
    const ranks = await openRanks("qwen2-tiny-sharded", [1, 1]);
    const { logits, streams } = await feed(ranks, cases[0]!.input_ids);
    expect(difference(logits, golden).relativeRms).toBeLessThan(tolerance.bf16_engine_logits_rel_rms!);
    expect(Buffer.compare(bytes(streams[1]!), bytes(streams[0]!))).toBe(0);
  },
);

test("ranks that do not hear one another are found out", { timeout: 300_000 }, async () => {
  const folder = join(packageRoot, "test-fixtures/reference/qwen2-tiny-sharded");
  const { cases, tolerance } = await readCases(folder);
  const ids = cases[0]!.input_ids.slice(0, 12);
  const golden = (await readGolden(folder, cases[0]!)).get("logits")!.data;
  const { logits } = await feed(await openRanks("qwen2-tiny-sharded", [1, 1], true), ids);
  const { relativeRms } = difference(logits, golden.slice(0, logits.length));
  expect(relativeRms).toBeGreaterThan(tolerance.bf16_engine_logits_rel_rms!);
});

function bytes({ buffer, byteOffset, byteLength }: Float32Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}
