import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { describe, expect, test } from "vitest";
import { caseNames, loadGolden, referenceFolders } from "../../test-fixtures/golden.ts";
import { parseConfig, type ModelConfig } from "./config.ts";
import { inverseFrequencies, ropeAxes, ropeTable } from "./rope.ts";

const runnable = referenceFolders();
const cases = runnable.flatMap((folder) =>
  caseNames(folder)
    .filter((name) => loadGolden(folder, name).tensors.has("rope.cos"))
    .map((name) => ({ title: join(basename(folder), name), folder, name })),
);

function configOf(folder: string): ModelConfig {
  const file = join(folder, "config.json");
  return parseConfig(JSON.parse(readFileSync(file, "utf8")), file);
}

/** Largest difference of our table from a golden's rope.cos and rope.sin [T, R], at the golden's own positions. */
function worstError(config: ModelConfig, folder: string, name: string): number {
  const { tensors } = loadGolden(folder, name);
  const cos = tensors.get("rope.cos")!;
  const sin = tensors.get("rope.sin")!;
  const [T, R] = cos.shape as [number, number];
  const { shape, data: positions } = tensors.get("position_ids")!;
  const table = ropeTable(config, Math.max(...positions) + 1);
  const axes = ropeAxes(config);
  if (R !== config.rope.dims) return Infinity;
  let worst = 0;
  for (let t = 0; t < T; t++) {
    for (let i = 0; i < R; i++) {
      const frequency = i % (R / 2);
      const row = shape.length === 2 ? axes[frequency]! * T + t : t;
      const at = 2 * (positions[row]! * (R / 2) + frequency);
      worst = Math.max(worst, Math.abs(table[at]! - cos.data[t * R + i]!));
      worst = Math.max(worst, Math.abs(table[at + 1]! - sin.data[t * R + i]!));
    }
  }
  return worst;
}

describe("against the reference", () => {
  test("goldens of every family are there", () => {
    const families = new Set(cases.map(({ folder }) => configOf(folder).modelType));
    expect([...families].sort()).toEqual(["llama", "qwen2", "qwen3", "qwen3_5", "qwen3_5_moe"]);
  });

  test.each(cases)("cos and sin of $title", ({ folder, name }) => {
    expect(worstError(configOf(folder), folder, name)).toBeLessThanOrEqual(1e-6);
  });

  test("a wrong theta, scaling or width would be seen", () => {
    const folder = runnable.find((path) => basename(path) === "llama3-tiny-ropescaled")!;
    const config = configOf(folder);
    const wrong = (rope: Partial<ModelConfig["rope"]>) =>
      worstError({ ...config, rope: { ...config.rope, ...rope } }, folder, "text_9");
    expect(wrong({ theta: 500_100 })).toBeGreaterThan(1e-6);
    expect(wrong({ scaling: { type: "none" } })).toBeGreaterThan(1e-6);
    expect(wrong({ dims: 62 })).toBe(Infinity);
  });
});

const base = { theta: 10_000, dims: 6, mropeSection: undefined };

test("linear scaling divides every frequency", () => {
  const plain = inverseFrequencies({ rope: { ...base, scaling: { type: "none" } } });
  const scaled = inverseFrequencies({ rope: { ...base, scaling: { type: "linear", factor: 8 } } });
  expect([...scaled]).toEqual([...plain].map((frequency) => frequency / 8));
});

test("llama3 scaling keeps short waves, stretches long ones and blends those between", () => {
  const scaling = { factor: 32, lowFreqFactor: 1, highFreqFactor: 4, originalPositions: 8192 };
  const rope = { theta: 500_000, dims: 64, mropeSection: undefined };
  const plain = inverseFrequencies({ rope: { ...rope, scaling: { type: "none" } } });
  const scaled = inverseFrequencies({ rope: { ...rope, scaling: { type: "llama3", ...scaling } } });
  const ratio = [...scaled].map((frequency, i) => plain[i]! / frequency);
  expect(ratio[0]).toBe(1);
  expect(ratio.at(-1)).toBe(32);
  expect(ratio.filter((r) => r > 1 && r < 32).length).toBeGreaterThan(1);
  expect([...ratio].sort((a, b) => a - b)).toEqual(ratio);
});

test("interleaved M-RoPE gives height and width every third frequency, until their share is spent", () => {
  const axes = (dims: number, mropeSection: [number, number, number]) =>
    [...ropeAxes({ rope: { ...base, dims, scaling: { type: "none" }, mropeSection } })].join("");
  expect(axes(16, [3, 3, 2])).toBe("01201201");
  expect(axes(20, [6, 3, 1])).toBe("0120100100");
  expect([...ropeAxes({ rope: { ...base, scaling: { type: "none" } } })]).toEqual([0, 0, 0]);
});
