// vision: milliseconds of the tower for pictures of three sizes, and what that is of the adapter's multiply-adds. The
// tower has the released shape (27 blocks, 1152 wide, 16 heads of 72); its weights are zeros, which take as long as
// others. The wall is measured in the same minutes. Behind it, for the demo model, the time to the first token of a
// chat about a picture that the engine has not seen yet, and has.    npm run bench -- vision [--adapter NAME] | tail -1
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Gpu } from "../engine/gpu/adapter.ts";
import { permanent } from "../engine/gpu/tensor.ts";
import { createWeight } from "../engine/gpu/weight.ts";
import type { Loader, Rows } from "../engine/models/loader.ts";
import { visionTower } from "../engine/models/vision.ts";
import type { VisionConfig } from "../engine/models/visionConfig.ts";
import { packageRoot } from "../engine/root.ts";
import { loadModel } from "../engine/serve/device.ts";
import { pace } from "../engine/serve/planModel.ts";
import { preparePictures } from "../engine/serve/pictures.ts";
import { loadText, renderChat } from "../engine/serve/text.ts";
import { TowerRunner } from "../engine/serve/tower.ts";
import type { ChatMessage } from "../engine/serve/types.ts";
import { ImagePreparer, defaultImageLimits, parseImageSettings } from "../engine/image/index.ts";
import { commit } from "./commit.ts";
import { fmaCase, lowerPriority } from "./walls.ts";
import { Sequence } from "../engine/serve/oneSequence.ts";

const released: VisionConfig = {
  depth: 27,
  hidden: 1152,
  intermediate: 4304,
  heads: 16,
  headDim: 72,
  patch: 16,
  frames: 2,
  patchValues: 1536,
  merge: 2,
  side: 48,
  out: 4096,
  imageToken: 0,
};

interface Row {
  picture: string;
  patches: number;
  ms: number;
  gflops: number;
  /** Of the adapter's own multiply-adds. */
  share: number;
}

/** Measures, prints two tables and one line of JSON. Software adapters run one block, and that is counted. */
export async function vision(gpu: Gpu): Promise<void> {
  const software = gpu.report.kind === "software";
  if (software) lowerPriority();
  const c = { ...released, depth: software ? 1 : released.depth };
  const wall = await wallOf(gpu);
  const sizes = [
    [256, 256],
    [512, 768],
    [1024, 1024],
  ] as const;
  const tower = await visionTower(zeros(gpu), c);
  const patches = Math.max(...sizes.map(([height, width]) => (height * width) / c.patch ** 2));
  const runner = await TowerRunner.create(gpu, tower, {
    settings: parseImageSettings({}, "defaults"),
    patches,
    mostPatches: patches,
    flopsPerSubmit: pace(gpu.report.kind).flopsPerSubmit,
  });
  const rows: Row[] = [];
  for (const [height, width] of sizes) rows.push(await measure(gpu, runner, height, width, wall));
  const ttft = await firstTokens(gpu);
  const { depth } = c;
  console.table(
    rows.map((row) => ({ ...row, ms: row.ms.toFixed(1), share: `${(100 * row.share).toFixed(0)} %` })),
  );
  console.table(ttft);
  const { name: device } = gpu.report;
  console.log(
    JSON.stringify({ bench: "vision", commit: commit(), device, depth, wallGflops: wall, rows, ttft }),
  );
  runner.destroy();
}

async function measure(
  gpu: Gpu,
  runner: TowerRunner,
  height: number,
  width: number,
  wall: number,
): Promise<Row> {
  const c = runner.config;
  const [rows, columns] = [height / c.patch, width / c.patch];
  const pixels = new Float32Array(rows * columns * c.patchValues);
  const times: number[] = [];
  for (let round = -1; round < (gpu.report.kind === "software" ? 1 : 5); round += 1) {
    const begun = performance.now();
    const result = await runner.run(pixels, [1, rows, columns]);
    await gpu.device.queue.onSubmittedWorkDone();
    if (round >= 0) times.push(performance.now() - begun);
    result.storage.buffer!.destroy();
  }
  const ms = Math.min(...times);
  const gflops = flops(c, rows * columns) / ms / 1e6;
  return {
    picture: `${width} × ${height}`,
    patches: rows * columns,
    ms,
    gflops: Math.round(gflops),
    share: gflops / wall,
  };
}

/** Of the matrices and the attention; the rest is small. */
function flops(c: VisionConfig, patches: number): number {
  const block = 2 * c.hidden * (4 * c.hidden + 2 * c.intermediate) + 4 * patches * c.hidden;
  const merger = (2 * (4 * c.hidden) ** 2 + 8 * c.hidden * c.out) / 4;
  return patches * (2 * c.patchValues * c.hidden + c.depth * block + merger);
}

async function wallOf(gpu: Gpu): Promise<number> {
  const wall = await fmaCase(gpu);
  let best = Infinity;
  for (let i = 0; i < 4; i += 1) {
    const begun = performance.now();
    wall.plan.submit(wall.tokens);
    await gpu.device.queue.onSubmittedWorkDone();
    best = Math.min(best, performance.now() - begun);
  }
  wall.plan.destroy();
  return wall.work / best / 1e6;
}

/** A loader of a checkpoint that has every tensor asked for, all zero, matrices in bf16. */
function zeros(gpu: Gpu): Loader {
  const sum = (parts: readonly Rows[]) => parts.reduce((total, { rows }) => total + rows, 0);
  const loader: Pick<Loader, "vector" | "vectors" | "matrix"> = {
    vector: async (name, shape, as = shape) => permanent(gpu, name, as),
    vectors: async (parts) => permanent(gpu, parts[0]!.name, [sum(parts)]),
    matrix: async (parts, K) => createWeight(gpu, parts[0]!.name, [sum(parts), K], "bf16"),
  };
  return loader as Loader;
}

interface FirstToken {
  picture: "cold" | "cached";
  encodeMs: number;
  promptMs: number;
}

/** The demo model's first token for a picture of its largest size: preparation apart, tower and prompt. */
async function firstTokens(gpu: Gpu): Promise<FirstToken[]> {
  const demo = join(packageRoot, "test-fixtures/demo-model");
  const model = await loadModel(gpu, join(demo, "model"), { contextLength: 512 });
  const { cases } = JSON.parse(readFileSync(join(demo, "golden/cases.json"), "utf8")) as {
    cases: { id: string; messages: ChatMessage[] }[];
  };
  const { messages } = cases.find(({ id }) => id === "image-5")!;
  const preparer = new ImagePreparer(model.info.vision!.settings, defaultImageLimits);
  const pictures = await preparePictures(preparer, { messages, options: {} });
  const shown = { imageToken: model.info.vision!.imageToken, pictures };
  const prompt = renderChat(await loadText(join(demo, "model")), { messages, options: {} }, shown);
  const rows: FirstToken[] = [];
  for (const picture of ["warm-up", "cold", "cached"] as const) {
    const images = prompt.images.map((image) => ({
      ...image,
      hash: picture === "cached" ? "cold" : picture,
    }));
    const { pictures: fed, usage, release } = await model.vision!.embed(images);
    const begun = performance.now();
    await new Sequence(model.runner).prompt(prompt.ids, "token", fed);
    release();
    const promptMs = Math.round((performance.now() - begun) * 10) / 10;
    const encodeMs = Math.round(usage.encodeMs * 10) / 10;
    if (picture !== "warm-up") rows.push({ picture, encodeMs, promptMs });
  }
  model.destroy();
  return rows;
}
