// How many dispatches a decoded token costs, layer by layer: a number that no noise blurs. Compiled on the null backend.
import { expect, test } from "vitest";
import { join } from "node:path";
import { packageRoot } from "../root.ts";
import { openCheckpoint } from "../formats/checkpoint.ts";
import { openGpu } from "../gpu/adapter.ts";
import { Runner } from "../serve/runner.ts";
import { parseConfig } from "./config.ts";
import { Loader } from "./loader.ts";
import { architectures } from "./registry.ts";

/** Attention merges the parts of its keys on a card, and needs no merging on a processor. */
const budget = {
  hardware: { full_attention: 6, linear_attention: 5 },
  software: { full_attention: 5, linear_attention: 5 },
};
/** A mixture of experts takes seven more than an MLP: router, choice, mixture, and an expert that all share behind a gate. */
const experts = 7;
/** Embedding, final norm, head, and the two stages of a draw. */
const ends = 5;

const models = [
  "qwen3_5-tiny-text",
  "qwen3_5_moe-tiny",
  "qwen3-tiny-tied",
  "llama3-tiny-ropescaled",
  "qwen2-tiny-sharded",
];
const kinds = ["hardware", "software"] as const;

test.each(models.flatMap((name) => kinds.map((kind) => [name, kind] as const)))(
  "%s on %s",
  async (name, kind) => {
    const device = await openGpu({ backend: "null" }, () => undefined);
    const gpu = {
      ...device,
      report: { ...device.report, kind },
      subgroupSize: { min: 32, max: 32, width: 32 },
    };
    const checkpoint = await openCheckpoint(join(packageRoot, "test-fixtures/reference", name));
    const config = parseConfig(checkpoint.config, checkpoint.configFile);
    const network = await architectures[config.modelType](new Loader(gpu, checkpoint), config);
    const options = { contextLength: 256, slots: 3, chunk: 64, flopsPerSubmit: Infinity };
    const runner = await Runner.create(gpu, network, config, options);
    const most = config.layerTypes.reduce(
      (sum, type) => sum + budget[kind][type] + (config.experts ? experts : 0),
      ends,
    );
    expect(runner.decodeKernels.length, runner.decodeKernels.join("\n")).toBe(most);
    const sorted = config.experts?.layers.filter((has) => has).length ?? 0; // tokens by expert, in each layer
    expect(runner.batchKernels.length, "a batch costs no more").toBe(runner.decodeKernels.length + sorted);
    await checkpoint.close();
  },
);
