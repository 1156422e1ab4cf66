// The twin itself, by figures that can be worked out by hand.
import { expect, test } from "vitest";
import type { DrawStart } from "../ops/sample.ts";
import { createSampler, cutHead } from "./sample.ts";

const neutral: DrawStart["sampling"] = {
  ...{ temperature: 1, topK: 0, topP: 1, minP: 0, seed: 1 },
  ...{ repetitionPenalty: 1, presencePenalty: 0, frequencyPenalty: 0, logitBias: {} },
};

function samplerOf(
  sampling: Partial<DrawStart["sampling"]>,
  prompt: readonly number[] = [],
  candidates?: number,
) {
  return createSampler({ sampling: { ...neutral, ...sampling }, prompt, drawn: [], candidates });
}

const logs = (...weights: number[]) => Float32Array.from(weights, Math.log);

test.each<[string, Partial<DrawStart["sampling"]>, number[]]>([
  ["all that is possible", {}, [0, 1, 3, 4, 5]],
  ["top_k, of equals the lowest ids", { topK: 3 }, [0, 1, 4]],
  ["top_p reached exactly", { topP: 0.5 }, [0, 1]],
  ["top_p just missed", { topP: 0.51 }, [0, 1, 4]],
  ["top_p of what top_k left", { topK: 2, topP: 0.5 }, [1]],
  ["no top_p at all", { topP: 0 }, [1]],
  ["min_p", { minP: 0.5 }, [0, 1, 4, 5]],
  ["temperature before top_p", { temperature: 0.5, topP: 0.4 }, [1]], // 36 of 88
])("what is left: %s", (_, sampling, ids) => {
  const left = cutHead(logs(4, 6, 0, 2, 4, 4), { ...neutral, ...sampling });
  expect(left.map(({ id }) => id)).toEqual(ids);
});

test("frequencies follow the distribution", () => {
  const logits = logs(4, 6, 0, 2, 4, 4);
  const wanted = [4, 6, 0, 0, 4, 4].map((weight) => weight / 18);
  const sample = samplerOf({ topK: 4, seed: 42 });
  const n = 20_000;
  const counts = new Array<number>(logits.length).fill(0);
  for (let i = 0; i < n; i += 1) counts[sample(logits).id]! += 1;
  let chi2 = 0;
  for (const [id, p] of wanted.entries()) {
    if (p === 0) expect(counts[id]).toBe(0);
    else chi2 += (counts[id]! - n * p) ** 2 / (n * p);
  }
  expect(chi2).toBeLessThan(11.3); // 1 % quantile, 3 degrees of freedom
});

test("greedy takes the lowest of equal logits, whatever the other settings", () => {
  expect(samplerOf({ temperature: 0, topK: 3, topP: 0.5 })(Float32Array.of(-3, 7, 2, 7, 7))).toEqual({
    id: 1,
  });
});

test("the same seed draws the same ids; another seed does not", () => {
  const logits = new Float32Array(97);
  const ids = (seed: number) => {
    const sample = samplerOf({ seed });
    return Array.from({ length: 30 }, () => sample(logits).id);
  };
  expect(ids(5)).toEqual(ids(5));
  expect(ids(5)).not.toEqual(ids(6));
});

test("repetition penalty: positive logits divided, negative multiplied, over prompt and drawn tokens", () => {
  const sample = samplerOf({ temperature: 0, repetitionPenalty: 2 }, [0, 2, 2, 99]);
  // 4/2 = 2 and -1·2 = -2: token 1 leads with 3, and once drawn it falls to 1.5.
  const logits = Float32Array.of(4, 3, -1, 1.9);
  expect([sample(logits).id, sample(logits).id, sample(logits).id, sample(logits).id]).toEqual([1, 0, 0, 0]);
  const negative = samplerOf({ temperature: 0, repetitionPenalty: 2 }, [0]);
  expect(negative(Float32Array.of(-1, -1.5)).id).toBe(1);
});

test("presence counts once, frequency each time, and neither counts the prompt", () => {
  const presence = samplerOf({ temperature: 0, presencePenalty: 1 }, [0]);
  const logits = Float32Array.of(5, 4.5, 3);
  expect([1, 2, 3, 4].map(() => presence(logits).id)).toEqual([0, 1, 0, 0]);
  const frequency = samplerOf({ temperature: 0, frequencyPenalty: 1 }, [0]);
  expect([1, 2, 3, 4, 5].map(() => frequency(logits).id)).toEqual([0, 1, 0, 1, 0]);
});

test("logit_bias bans and forces, before the penalties, and ids beyond the logits are ignored", () => {
  const logits = Float32Array.of(9, 1, 0);
  expect(samplerOf({ temperature: 0, logitBias: { 0: -100, 77: 100 } })(logits).id).toBe(1);
  expect(samplerOf({ logitBias: { 2: 100 } })(logits).id).toBe(2);
  // (1 + 10) / 4 < 9, but 1 / 4 + 10 > 9
  expect(samplerOf({ temperature: 0, repetitionPenalty: 4, logitBias: { 1: 10 } }, [1])(logits).id).toBe(0);
});

test("log-probabilities are those of the untouched logits, which stay untouched", () => {
  const logits = Float32Array.of(2, 1, -Infinity, 3, 1);
  const before = logits.slice();
  const sampling = { temperature: 0, repetitionPenalty: 9, logitBias: { 4: 50 } };
  const { id, logprob, top } = samplerOf(sampling, [3], 5)(logits);
  const total = Math.log(Math.exp(2) + 2 * Math.exp(1) + Math.exp(3));
  expect(id).toBe(4);
  expect(logprob).toBeCloseTo(1 - total, 12);
  expect(top!.map((candidate) => candidate.id)).toEqual([3, 0, 1, 4, 2]);
  const wanted = [...[3, 2, 1, 1].map((x) => expect.closeTo(x - total) as number), -9999];
  expect(top!.map((candidate) => candidate.logprob)).toEqual(wanted);
  expect(logits).toEqual(before);
});

test.each([
  ["NaN", [1, NaN, 3], { nan: 1, infinite: 0, min: 1, max: 3, mean: 2 }],
  ["+Infinity", [1, Infinity, 3], { nan: 0, infinite: 1 }],
  ["nothing finite", [-Infinity, -Infinity], { nan: 0, infinite: 2 }],
])("ill logits: %s", (_, values, figures) => {
  for (const temperature of [0, 1])
    expect(samplerOf({ temperature })(Float32Array.from(values)).ill).toMatchObject(figures);
});

test("with a mask it draws as if all else had no chance; what is sick stays sick", () => {
  const mask = Uint32Array.of(0b1010);
  expect(samplerOf({ temperature: 0 })(Float32Array.of(5, 1, 3, 2), mask).id).toBe(3);
  expect(samplerOf({ topK: 1 })(Float32Array.of(5, 1, 3, 2), mask).id).toBe(3);
  for (const sick of [NaN, Infinity])
    expect(samplerOf({})(Float32Array.of(sick, 1, 3, 2), mask).ill).toBeDefined();
  expect(samplerOf({})(Float32Array.of(5, -Infinity, 3, -Infinity), mask).ill).toMatchObject({ infinite: 4 });
});
