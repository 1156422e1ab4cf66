// Drawing on the device against its twin, on every variant: distributions with ties, bans and long tails, whole answers
// with their penalties, several rows of different settings in one run.
import { afterAll, describe, expect, test } from "vitest";
import { guises } from "../../test-fixtures/dense.ts";
import { testGpu } from "../../test-fixtures/gpu.ts";
import type { Gpu } from "../gpu/adapter.ts";
import { Recording, type Plan } from "../gpu/plan.ts";
import { bufferOf, readRanges } from "../gpu/readback.ts";
import { createStep, stepValues } from "../gpu/step.ts";
import { free, permanent, type Tensor } from "../gpu/tensor.ts";
import { adjust, createSampler, cutHead } from "../reference/sample.ts";
import { uniform } from "../reference/random.ts";
import {
  createDrawMemory,
  freeDrawMemory,
  readRecord,
  recordRange,
  sample,
  writeDrawStart,
  writeMask,
  type Draw,
  type DrawMemory,
  type DrawStart,
} from "./sample.ts";

const device = await testGpu();
const rigs: Rig[] = [];
afterAll(() => {
  for (const rig of rigs) rig.destroy();
});

const slots = 5;
const neutral: DrawStart["sampling"] = {
  ...{ temperature: 1, topK: 0, topP: 1, minP: 0, seed: 1 },
  ...{ repetitionPenalty: 1, presencePenalty: 0, frequencyPenalty: 0, logitBias: {} },
};
const greedy = { ...neutral, temperature: 0 };

function startOf(sampling: Partial<DrawStart["sampling"]>, more: Partial<DrawStart> = {}): DrawStart {
  const rest = { prompt: [], drawn: [], candidates: undefined, masked: false };
  return { sampling: { ...neutral, ...sampling }, ...rest, ...more };
}

/** Draws from logits that a test writes, row t in slot slots − 1 − t. */
class Rig {
  readonly gpu: Gpu;
  readonly V: number;
  readonly memory: DrawMemory;
  readonly #logits: Tensor;
  readonly #step: Tensor;
  readonly #plan: Plan;
  readonly #records: Tensor;

  private constructor(gpu: Gpu, V: number, memory: DrawMemory, logits: Tensor, step: Tensor, plan: Plan, records: Tensor) {
    [this.gpu, this.V, this.memory] = [gpu, V, memory];
    [this.#logits, this.#step, this.#plan, this.#records] = [logits, step, plan, records];
  }

  static async create(gpu: Gpu, V: number): Promise<Rig> {
    const memory = createDrawMemory(gpu, slots, V);
    const logits = permanent(gpu, "logits", [slots, V]);
    const step = createStep(gpu, true);
    const recording = new Recording(gpu, { capacity: slots, step, batch: true });
    const records = sample(recording, logits, memory);
    const rig = new Rig(gpu, V, memory, logits, step, await recording.finish([records]), records);
    rigs.push(rig);
    return rig;
  }

  start(t: number, start: DrawStart): void {
    writeDrawStart(this.gpu, this.memory, slots - 1 - t, start);
  }

  /** Rows of logits, and of each what may be drawn. */
  async draw(rows: readonly Float32Array[], starts: readonly DrawStart[], masks: readonly (Uint32Array | undefined)[] = []) {
    const { queue } = this.gpu.device;
    const each = rows.map((_, t) => ({ row: 3 + t, slot: slots - 1 - t }));
    queue.writeBuffer(bufferOf(this.#step), 0, stepValues({ each }));
    for (const [t, row] of rows.entries()) {
      queue.writeBuffer(bufferOf(this.#logits), 4 * t * this.V, row as Float32Array<ArrayBuffer>);
      if (masks[t]) writeMask(this.gpu, this.memory, slots - 1 - t, masks[t]);
    }
    this.#plan.submit(rows.length);
    const ranges = starts.map(({ candidates }, t) => recordRange(this.#records, t, candidates));
    const read = await readRanges(this.gpu, ranges);
    return read.map((bytes, t): Draw => readRecord(bytes, this.V, starts[t]!.candidates));
  }

  destroy(): void {
    this.#plan.destroy();
    freeDrawMemory(this.memory);
    free(this.#logits, this.#step);
  }
}

const byGpu = new Map<string, Promise<Rig>>();

/** Compiling takes longer than drawing: one a size and device. */
function rigOf(gpu: Gpu, V: number): Promise<Rig> {
  const key = `${gpu.report.kind} ${V}`;
  const rig = byGpu.get(key) ?? Rig.create(gpu, V);
  byGpu.set(key, rig);
  return rig;
}

/** A plain generator for test data, of another family than the one under test. */
function generator(seed: number): () => number {
  let state = seed;
  return () => (state = (state * 48271) % 2147483647) / 2147483647;
}

function pick<T>(random: () => number, ...values: readonly T[]): T {
  return values[Math.floor(random() * values.length)]!;
}

/** As a model's: a few peaks, a long tail; or flat, coarse (many equals), or with most of it banned. */
function randomLogits(random: () => number, V: number): Float32Array {
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

function randomSettings(random: () => number): Partial<DrawStart["sampling"]> {
  return {
    temperature: pick(random, 0.3, 0.7, 1, 1.7),
    topK: pick(random, 0, 0, 1, 3, 40, 900),
    topP: pick(random, 0, 0.2, 0.51, 0.9, 0.99, 1, 1),
    minP: pick(random, 0, 0, 0.049, 0.3, 1),
    seed: Math.floor(random() * 2 ** 45) * pick(random, -1, 1),
  };
}

/** How near, as a share of the whole, the twin's decision comes to another one: f32 may then decide otherwise. */
function marginOf(logits: Float32Array, { sampling }: DrawStart, step: number): number {
  const { temperature, topK, topP, minP, seed } = sampling;
  const head = cutHead(logits, { ...sampling, topP: 1, minP: 0, topK });
  const byWeight = [...head].sort((a, b) => b.weight - a.weight || a.id - b.id);
  const total = byWeight.reduce((sum, { weight }) => sum + weight, 0);
  let [sum, edge] = [0, 1];
  for (const { weight } of byWeight) {
    sum += weight;
    if (topP > 0 && topP < 1) edge = Math.min(edge, Math.abs(sum / total - topP));
    if (minP > 0 && minP < 1) edge = Math.min(edge, Math.abs(weight / minP - 1));
  }
  const kept = cutHead(logits, sampling);
  const whole = kept.reduce((all, { weight }) => all + weight, 0);
  let passed = 0;
  for (const { weight } of kept) {
    passed += weight / whole;
    edge = Math.min(edge, Math.abs(passed - uniform(seed, step)) + (passed > 1 - 1e-9 ? 1 : 0));
  }
  return temperature === 0 ? 1 : edge;
}

const near = 2e-5;

describe.each(guises(device))("%s", (_, gpu) => {
  test("draws what sorting everything would draw, rows of different settings at once", async () => {
    const random = generator(11);
    let compared = 0;
    for (const V of [1, 7, 4099]) {
      const rig = await rigOf(gpu, V);
      for (let n = 0; n < (V > 10 ? 60 : 4); n += 1) {
        const rows = Array.from({ length: 1 + (n % slots) }, () => randomLogits(random, V));
        const starts = rows.map(() => startOf(randomSettings(random), { drawn: Array(n % 3).fill(0) }));
        starts.forEach((start, t) => rig.start(t, start));
        const drawn = await rig.draw(rows, starts);
        for (const [t, { id }] of drawn.entries()) {
          if (marginOf(rows[t]!, starts[t]!, n % 3) < near) continue;
          const want = createSampler(starts[t]!)(rows[t]!);
          expect({ id }, `V ${V}, run ${n}, row ${t}: ${JSON.stringify(starts[t]!.sampling)}`).toEqual(want);
          compared += 1;
        }
      }
    }
    expect(compared).toBeGreaterThan(120);
  });
});
