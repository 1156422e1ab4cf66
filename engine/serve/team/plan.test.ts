// The plan of each rank against what its load really asks of its device, to the byte, on Dawn's null backend.
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { demoModel } from "../../../test-fixtures/golden.ts";
import { openCheckpoint } from "../../formats/checkpoint.ts";
import { openGpu, type Gpu } from "../../gpu/adapter.ts";
import { packageRoot } from "../../root.ts";
import { createTable, takeSeat } from "../../parallel/table.ts";
import type { MemoryPlan } from "../memoryPlan.ts";
import { loadPart } from "../part.ts";
import { pace, planPlaces } from "../planModel.ts";
import { dealt } from "./deal.ts";

let gpu: Gpu;
let sizes: number[] = [];

beforeAll(async () => {
  gpu = await openGpu({ backend: "null" }, () => undefined);
  const create = gpu.device.createBuffer.bind(gpu.device);
  gpu.device.createBuffer = (descriptor) => {
    // What comes and goes with a turn is the plan's "staging".
    if (descriptor.label !== "readback") sizes.push(descriptor.size);
    return create(descriptor);
  };
});
afterAll(() => gpu.destroy());

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

function bytes({ parts }: MemoryPlan, ...of: string[]): number {
  return sum(parts.filter(({ what }) => of.includes(what)).map((part) => part.bytes));
}

const untied = join(packageRoot, "test-fixtures/reference/qwen3_5-tiny-text");

test.each([
  [demoModel, [1, 1], undefined],
  [untied, [1, 1], undefined],
  [untied, [1, 1], "q8_0"],
])("%s over %j in %s: ranks take what was planned", { timeout: 60_000 }, async (folder, weights, quant) => {
  const options = { contextLength: 192, maxInFlight: 3, imageCacheBytes: 0 };
  const checkpoint = await openCheckpoint(folder, quant);
  const shares = await dealt(checkpoint, { by: "tensor", weights });
  const places = shares.map((share) => ({ like: gpu, budget: undefined, share }));
  const plans = await planPlaces(places, checkpoint, options);
  const capacity = pace(gpu.report.kind).chunk * shares[0]!.config.hidden;
  const table = createTable({ by: "tensor", ranks: weights.length, capacity, wire: "f32" });
  for (const [rank, share] of shares.entries()) {
    const { peers } = takeSeat(table, rank, 1000);
    sizes = [];
    const plan = plans[rank]!;
    const part = await loadPart(gpu, checkpoint, { options, plan, member: { share, peers } });
    expect(plan.totalBytes - bytes(plan, "staging", "pictures"), `rank ${rank}`).toBe(sum(sizes));
    part.destroy();
  }
  const [whole] = await planPlaces([{ like: gpu, budget: undefined }], checkpoint, options);
  const head = weightBytes(shares[0]!.config.vocab * shares[0]!.config.hidden, quant);
  const replicated = sum(plans.map((plan) => bytes(plan, "weights"))) - bytes(whole!, "weights");
  // Both have the embedding, and norms; a head of its own there is only once.
  expect(replicated).toBeGreaterThanOrEqual(head);
  expect(replicated).toBeLessThan(2 * head);
  await checkpoint.close();
});

function weightBytes(values: number, quant: string | undefined): number {
  return quant === "q8_0" ? (values * 34) / 32 : 2 * values;
}
