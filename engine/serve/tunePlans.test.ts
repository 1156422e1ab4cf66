// What a model's plans ask of the tuning is measured before they are made, once. On the null backend, as a card.
import { join } from "node:path";
import { expect, test } from "vitest";
import { openCheckpoint } from "../formats/checkpoint.ts";
import { openGpu, type Gpu } from "../gpu/adapter.ts";
import { Tuning } from "../gpu/tuning.ts";
import { parseConfig } from "../models/config.ts";
import { Loader } from "../models/loader.ts";
import { architectures } from "../models/registry.ts";
import { packageRoot } from "../root.ts";
import { Runner } from "./runner.ts";

test("a first load measures, a second one knows", async () => {
  const device = await openGpu({ backend: "null" });
  const answers: Record<string, string> = {};
  const save = (found: object) => void Object.assign(answers, found);
  const matrices = { componentType: "f16", resultComponentType: "f32", M: 16, N: 16, K: 16 };
  const load = async (tuning: Tuning) => {
    const gpu: Gpu = {
      ...device,
      tuning,
      subgroupSize: { min: 32, max: 32, width: 32 },
      report: { ...device.report, kind: "hardware", subgroupMatrixConfigs: [matrices] },
    };
    const checkpoint = await openCheckpoint(join(packageRoot, "test-fixtures/reference/qwen3_5-tiny-text"));
    const config = parseConfig(checkpoint.config, checkpoint.configFile);
    const network = await architectures[config.modelType](new Loader(gpu, checkpoint), config);
    const phases: string[] = [];
    const hooks = {
      begin: () => Promise.resolve(void phases.push("begin")),
      end: () => void phases.push("end"),
    };
    const options = { contextLength: 1024, slots: 2, chunk: 64, flopsPerSubmit: Infinity, tuning: hooks };
    const runner = await Runner.create(gpu, network, config, options);
    runner.destroy();
    await checkpoint.close();
    return phases;
  };

  expect(await load(new Tuning())).toEqual([]);
  expect(answers).toEqual({});
  expect(await load(new Tuning({ autotune: true }, { save }))).toEqual(["begin", "end"]);
  const kernels = new Set(Object.keys(answers).map((key) => key.split(/ (bf16|f32)/)[0]));
  expect(kernels).toEqual(
    new Set(["matvec", "matvec normed", "matmul", "attention", "attention split", "delta"]),
  );
  expect(await load(new Tuning({ autotune: true }, { measured: answers }))).toEqual([]);
  device.destroy();
});
