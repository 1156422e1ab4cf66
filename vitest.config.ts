import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { defineConfig } from "vitest/config";

const exclude = ["**/node_modules/**", "dist/**"];

/** Tests on a GPU run once for every adapter here, or only on the one that NEURON_TEST_ADAPTER names. */
function gpuAdapters(): string[] {
  const named = process.env["NEURON_TEST_ADAPTER"];
  if (named) return [named];
  const adapters = [];
  if (process.platform === "linux" && process.arch === "x64") adapters.push("swiftshader");
  if (lavapipeAnswers()) adapters.push("lavapipe");
  else console.log("GPU tests: lavapipe is skipped; .ci/install-lavapipe adds it on Debian");
  return adapters;
}

/** Asks in a process of its own, because an old driver may bring it down. */
function lavapipeAnswers(): boolean {
  const ask = `
    import { create } from "webgpu";
    process.exit((await create(["adapter=llvmpipe"]).requestAdapter().catch(() => null)) ? 0 : 1);`;
  return (
    spawnSync(process.execPath, ["--input-type=module", "--eval", ask], { timeout: 20_000 }).status === 0
  );
}

if (!existsSync("/usr/bin/chromium"))
  console.log("The page's tests in a browser are skipped; .ci/install-chromium adds Chromium on Debian");

/**
 * What SwiftShader runs where lavapipe runs everything: the adapter, the kernels, and one model held against the
 * reference. What is above the kernels behaves alike on every adapter, and SwiftShader, which keeps no compiled shaders,
 * takes half an hour for it. SwiftShader alone runs all.
 */
const onBoth = ["engine/gpu/**", "engine/ops/**", "engine/verify/verify.gpu.test.ts"];
const slowThere = [
  "engine/ops/attention-matrices.gpu.test.ts",
  "engine/ops/batch.gpu.test.ts",
  "engine/ops/vision.gpu.test.ts",
  "engine/ops/matrices.gpu.test.ts",
  "engine/ops/delta-matrices.gpu.test.ts",
];

function gpuProject(adapter: string, _: number, all: readonly string[]) {
  const brief = adapter === "swiftshader" && all.includes("lavapipe");
  return {
    test: {
      name: adapter,
      include: brief ? onBoth.map((path) => path.replace(/\*\*$/, "**/*.gpu.test.ts")) : ["**/*.gpu.test.ts"],
      exclude: [...exclude, ...(brief ? slowThere : [])],
      pool: "forks" as const,
      env: { NEURON_TEST_ADAPTER: adapter, ...(brief && { NEURON_TEST_BRIEF: "1" }) },
      execArgv: ["--import", "./test-fixtures/typescript.mjs"], // for the threads that tests start
      testTimeout: 180_000, // a driver that keeps no shaders yet compiles for a minute, beside another test
      hookTimeout: 240_000, // a model is loaded there, and its kernels compiled
    },
  };
}

export default defineConfig({
  test: {
    maxWorkers: 2, // a software adapter has a thread a core already
    projects: [
      {
        test: {
          name: "plain",
          include: ["**/*.test.ts"],
          exclude: [...exclude, "**/*.gpu.test.ts"],
          pool: "forks",
          testTimeout: 30_000, // two cores may be busy with the adapters' own threads
          hookTimeout: 60_000,
        },
      },
      ...gpuAdapters().map(gpuProject),
    ],
  },
});
