import { defineConfig } from "vitest/config";

const exclude = ["**/node_modules/**", "dist/**"];

function gpuProject(adapter: string) {
  return {
    test: {
      name: adapter,
      include: ["**/*.gpu.test.ts"],
      exclude,
      pool: "forks" as const,
      env: { NEURON_TEST_ADAPTER: adapter },
      testTimeout: 60_000,
      hookTimeout: 60_000,
    },
  };
}

export default defineConfig({
  test: {
    maxWorkers: 2,
    projects: [
      {
        test: {
          name: "plain",
          include: ["**/*.test.ts"],
          exclude: [...exclude, "**/*.gpu.test.ts"],
          pool: "forks",
        },
      },
      gpuProject("lavapipe"),
    ],
  },
});
