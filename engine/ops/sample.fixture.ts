// Settings and logits for tests of drawing.
import type { DrawStart } from "./sample.ts";

export const neutral: DrawStart["sampling"] = {
  ...{ temperature: 1, topK: 0, topP: 1, minP: 0, seed: 1 },
  ...{ repetitionPenalty: 1, presencePenalty: 0, frequencyPenalty: 0, logitBias: {} },
};

export function startOf(sampling: Partial<DrawStart["sampling"]>, more: Partial<DrawStart> = {}): DrawStart {
  const rest = { prompt: [], drawn: [], candidates: undefined, masked: false };
  return { sampling: { ...neutral, ...sampling }, ...rest, ...more };
}

/** A plain generator for test data, of another family than the one under test. */
export function generator(seed: number): () => number {
  let state = seed;
  return () => (state = (state * 48271) % 2147483647) / 2147483647;
}

export function pick<T>(random: () => number, ...values: readonly T[]): T {
  return values[Math.floor(random() * values.length)]!;
}

/** As a model's: a few peaks, a long tail; or flat, coarse (many equals), or with most of it banned. */
export function randomLogits(random: () => number, V: number): Float32Array {
  const spread = pick(random, 0, 0.5, 4, 12);
  const coarse = random() < 0.4;
  const banned = pick(random, 0, 0.1, 0.97);
  const logits = Float32Array.from({ length: V }, () => {
    if (random() < banned) return -Infinity;
    const logit = (random() + random() + random() - 1.5) * spread;
    return coarse ? Math.round(logit) : logit;
  });
  const peaks = pick(random, 1, 4, 40);
  for (let i = 0; i < peaks; i += 1) logits[Math.floor(random() * V)] = spread * (0.5 + random());
  return logits;
}

export function randomSettings(random: () => number): Partial<DrawStart["sampling"]> {
  return {
    temperature: pick(random, 0.3, 0.7, 1, 1.7),
    topK: pick(random, 0, 0, 1, 3, 40, 900),
    topP: pick(random, 0, 0.2, 0.51, 0.9, 0.99, 1, 1),
    minP: pick(random, 0, 0, 0.049, 0.3, 1),
    seed: Math.floor(random() * 2 ** 45) * pick(random, -1, 1),
  };
}

/** The bits of some tokens. */
export function maskOf(ids: readonly number[], size: number): Uint32Array {
  const mask = new Uint32Array(Math.ceil(size / 32));
  for (const id of ids) mask[id >> 5]! |= 1 << (id & 31);
  return mask;
}
