// Drawing on the device against its twin, on every variant: distributions with ties, bans and long tails, whole answers
// with their penalties, several rows of different settings in one run.
import { afterAll, describe, expect, test } from "vitest";
import { guises } from "../../test-fixtures/dense.ts";
import { expectClose, testGpu } from "../../test-fixtures/gpu.ts";
import type { Gpu } from "../gpu/adapter.ts";
import type { Plan } from "../gpu/plan.ts";
import { Recording } from "../gpu/recording.ts";
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
import { generator, maskOf, randomLogits, randomSettings, startOf } from "./sample.fixture.ts";

const device = await testGpu();
const rigs: Rig[] = [];
afterAll(() => {
  for (const rig of rigs) rig.destroy();
});

const slots = 5;
/** Draws from logits that a test writes, row t in slot slots − 1 − t. */
class Rig {
  readonly gpu: Gpu;
  readonly V: number;
  readonly memory: DrawMemory;
  readonly #logits: Tensor;
  readonly #step: Tensor;
  readonly #plan: Plan;
  readonly #records: Tensor;

  private constructor(
    gpu: Gpu,
    V: number,
    memory: DrawMemory,
    logits: Tensor,
    step: Tensor,
    plan: Plan,
    records: Tensor,
  ) {
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

  get kernels(): readonly string[] {
    return this.#plan.kernels;
  }

  start(t: number, start: DrawStart): void {
    writeDrawStart(this.gpu, this.memory, slots - 1 - t, start);
  }

  /** Rows of logits, and of each what may be drawn. */
  async draw(
    rows: readonly Float32Array[],
    starts: readonly DrawStart[],
    masks: readonly (Uint32Array | undefined)[] = [],
  ) {
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

/** Beyond this the weights' rounding decides nothing: exp in f32 is some 4·10⁻⁶ off for a hundred-millionth. */
const near = 2e-5;

interface Case {
  logits: Float32Array;
  start: DrawStart;
  /** Drawn before. */
  step: number;
  id: number;
}

/** Draws of random distributions; those too near to another decision are left out. */
async function randomCases(gpu: Gpu, V: number, runs: number, seed: number): Promise<Case[]> {
  const random = generator(seed);
  const rig = await rigOf(gpu, V);
  const cases: Case[] = [];
  for (let n = 0; n < runs; n += 1) {
    const rows = Array.from({ length: 1 + (n % slots) }, () => randomLogits(random, V));
    const step = n % 3;
    const starts = rows.map(() => startOf(randomSettings(random), { drawn: Array<number>(step).fill(0) }));
    starts.forEach((start, t) => rig.start(t, start));
    for (const [t, { id }] of (await rig.draw(rows, starts)).entries()) {
      const [logits, start] = [rows[t]!, starts[t]!];
      if (marginOf(logits, start, step) > near) cases.push({ logits, start, step, id });
    }
  }
  return cases;
}

const twinOf = ({ logits, start }: Case) => createSampler(start)(logits).id;

describe.each(guises(device))("%s", (_, gpu) => {
  test("draws what sorting everything would draw", async () => {
    const cases = await randomCases(gpu, 70, 70, 11);
    const wide = await randomCases(gpu, 4099, 20, 12);
    expect([cases.length, wide.length]).toEqual([
      expect.toSatisfy((n) => n > 150),
      expect.toSatisfy((n) => n > 40),
    ]);
    for (const one of [...cases, ...wide]) expect(one.id, JSON.stringify(one.start)).toBe(twinOf(one));

    // Known bad: the same comparison notices a twin with one rule changed.
    const wrongs: ((s: DrawStart["sampling"]) => Partial<DrawStart["sampling"]>)[] = [
      (s) => ({ topK: s.topK === 0 ? 0 : s.topK + 1 }),
      () => ({ minP: 0 }),
      (s) => ({ topP: Math.min(1, s.topP * 1.1) }),
      () => ({ temperature: 1 }),
      (s) => ({ seed: s.seed + 2 ** 32 }),
    ];
    for (const wrong of wrongs) {
      const differences = cases.filter((one) => {
        const { sampling } = one.start;
        return (
          twinOf({ ...one, start: { ...one.start, sampling: { ...sampling, ...wrong(sampling) } } }) !==
          one.id
        );
      });
      expect(differences.length, String(wrong)).toBeGreaterThan(3);
    }
  });

  test("answers with bias and penalties, token by token, a slot's counts on the device", async () => {
    const V = 70;
    const rig = await rigOf(gpu, V);
    const random = generator(5);
    const settings: Partial<DrawStart["sampling"]>[] = [
      { temperature: 0, repetitionPenalty: 1.7 },
      { temperature: 0, presencePenalty: 1.5, frequencyPenalty: 0.4 },
      { temperature: 0.7, topK: 9, repetitionPenalty: 0.8, frequencyPenalty: -0.3, seed: 77 },
      { temperature: 0, logitBias: { 3: -100, 5: 2, 999: 100 }, presencePenalty: 0.9 },
      { temperature: 0 },
    ];
    const starts = settings.map((one) => startOf(one, { prompt: [3, 8, 8, 60, 2000], drawn: [5, 9, 5] }));
    starts.forEach((start, t) => rig.start(t, start));
    const twins = starts.map((start) => createSampler(start));
    const said = starts.map(({ drawn }) => [...drawn]);
    const unpenalised = starts.map(({ drawn, ...rest }) =>
      createSampler({ ...rest, drawn: drawn.map(() => 69) }),
    );
    const differs = starts.map(() => 0);
    const logits = Float32Array.from({ length: V }, () => 4 * random());
    for (let step = 0; step < 12; step += 1) {
      const drawn = await rig.draw(
        starts.map(() => logits),
        starts,
      );
      for (const [t, { id }] of drawn.entries()) {
        const adjusted = adjust(logits, starts[t]!, said[t]!);
        expect(marginOf(adjusted, starts[t]!, said[t]!.length)).toBeGreaterThan(near);
        expect(id, `row ${t}, step ${step}`).toBe(twins[t]!(logits).id);
        if (unpenalised[t]!(logits).id !== id) differs[t]! += 1;
        said[t]!.push(id);
      }
    }
    for (const t of [0, 1]) expect(new Set(said[t]).size, "it goes on").toBeGreaterThan(5);
    expect(new Set(said[4]!.slice(3)).size).toBe(1);
    expect(differs[0]! + differs[1]! + differs[3]!, "what was said matters").toBeGreaterThan(0);
  });

  test("a mask is a ban, whatever the settings, and not what the model thinks", async () => {
    const V = 4099;
    const rig = await rigOf(gpu, V);
    const random = generator(21);
    const settings = [
      { temperature: 0 },
      {},
      { topK: 5 },
      { topP: 0.4, temperature: 0.6 },
      { logitBias: { 8: 60 } },
    ];
    const starts = settings.map((one) => startOf({ seed: 3, ...one }, { masked: true, candidates: 2 }));
    starts.forEach((start, t) => rig.start(t, start));
    const rows = starts.map(() => Float32Array.from({ length: V }, () => 12 * random()));
    const ids = starts.map(() => [
      8,
      31,
      32,
      64,
      V - 1,
      ...Array.from({ length: 9 }, () => Math.floor(random() * V)),
    ]);
    const masks = ids.map((allowed) => maskOf(allowed, V));
    const drawn = await rig.draw(rows, starts, masks);
    for (const [t, { id, top }] of drawn.entries()) {
      expect(ids[t]).toContain(id);
      expect(id).toBe(createSampler(starts[t]!)(rows[t]!, masks[t]).id);
      if (t < 4) expect(id).not.toBe(createSampler(starts[t]!)(rows[t]!).id); // the last is forced to
      expect(top!.map((one) => one.id)).toEqual(
        createSampler(starts[t]!)(rows[t]!).top!.map((one) => one.id),
      );
    }
    const others = masks.map((_, t) => maskOf([100 + t], V)); // the next step's
    expect((await rig.draw(rows, starts, others)).map(({ id }) => id)).toEqual([100, 101, 102, 103, 104]);
  });

  test("of temperatures next to nothing the likeliest, and never what is banned", async () => {
    const V = 4099;
    const rig = await rigOf(gpu, V);
    const random = generator(23);
    const settings = [
      ...[
        { temperature: Number.MIN_VALUE },
        { temperature: 1e-40, topK: 5 },
        { temperature: 1e-39, topP: 0.4 },
      ],
      ...[{ temperature: 1e-38, minP: 0.2 }, { temperature: 1e-6 }],
    ];
    const starts = settings.map((one, t) => startOf({ seed: 3, ...one }, { masked: t !== 3 }));
    starts.forEach((start, t) => rig.start(t, start));
    const rows = starts.map(() => Float32Array.from({ length: V }, () => 12 * random()));
    const masks = starts.map((_, t) => (t === 3 ? undefined : maskOf([7, 2000 + t, 4000], V)));
    const drawn = await rig.draw(rows, starts, masks);
    for (const [t, { id, ill }] of drawn.entries()) {
      expect(ill).toBeUndefined();
      expect(id).toBe(createSampler(startOf({ temperature: 0 }))(rows[t]!, masks[t]).id);
    }
  });

  test("log-probabilities of the token and of the likeliest, ties and impossible ones among them", async () => {
    const random = generator(31);
    for (const V of [70, 4099, 50_021]) {
      const rig = await rigOf(gpu, V);
      const wants = [20, 0, 7, 1, undefined];
      const starts = wants.map((candidates) => startOf({ logitBias: { 4: 90 }, seed: 9 }, { candidates }));
      starts.forEach((start, t) => rig.start(t, start));
      const rows = starts.map((_, t) =>
        Float32Array.from({ length: V }, (_, i) =>
          t === 0 && i > 12 ? -Infinity : t === 2 ? 9 * random() : Math.round(9 * random()),
        ),
      );
      const drawn = await rig.draw(rows, starts);
      for (const [t, draw] of drawn.entries()) {
        const want = createSampler(starts[t]!)(rows[t]!);
        const { logprob, top, ...rest } = draw;
        expect(rest).toEqual({ id: 4 });
        expect(top?.map(({ id }) => id)).toEqual(want.top?.map(({ id }) => id));
        if (want.logprob === undefined) continue;
        expectClose([logprob!], [want.logprob], 2e-6);
        expectClose(
          top!.map((one) => one.logprob),
          want.top!.map((one) => one.logprob),
          2e-6,
        );
      }
      expect(drawn[0]!.top!.at(-1)!.logprob).toBe(-9999);
    }
  });

  test("logits that nothing can be drawn from are told, and concern nobody else", async () => {
    const V = 70;
    const rig = await rigOf(gpu, V);
    const healthy = Float32Array.from({ length: V }, (_, i) => Math.cos(7 * i));
    const never = healthy.slice().fill(-Infinity);
    const rows = [
      healthy.with(69, NaN),
      healthy.with(11, Infinity),
      healthy,
      never,
      healthy,
    ] as Float32Array[];
    for (const sampling of [{ temperature: 0 }, { topK: 3, topP: 0.9 }]) {
      const starts = rows.map((_, t) => startOf(sampling, { masked: t === 4, candidates: t }));
      starts.forEach((start, t) => rig.start(t, start));
      const drawn = await rig.draw(
        rows,
        starts,
        rows.map((_, t) => (t === 4 ? maskOf([], V) : undefined)),
      );
      for (const [t, { ill, id }] of drawn.entries()) {
        const want = createSampler(starts[t]!)(rows[t]!, t === 4 ? maskOf([], V) : undefined);
        if (t === 2) expect({ ill, id }).toEqual({ ill: undefined, id: want.id });
        else {
          expect({ ...ill, mean: 0 }).toEqual({ ...want.ill, mean: 0 });
          if (t < 2) expect(ill!.mean).toBeCloseTo(want.ill!.mean, 5);
        }
      }
    }
  });
});

test("the largest vocabulary, an odd one, peaked and flat", { timeout: 120_000 }, async () => {
  const V = 262_141;
  const rig = await rigOf(device, V);
  const random = generator(41);
  const flat = new Float32Array(V).fill(-3);
  const real = Float32Array.from({ length: V }, () => 3 * (random() + random() + random() - 1.5));
  for (let i = 0; i < 30; i += 1) real[Math.floor(random() * V)] = 8 + 3 * random();
  const settings = [
    {},
    { topK: 100_003 },
    { topP: 0.51 },
    { topK: 20, topP: 0.95, temperature: 0.6 },
    { temperature: 0 },
  ];
  for (const logits of [flat, real]) {
    const starts = settings.map((one, t) => startOf({ seed: 7 + t, ...one }));
    starts.forEach((start, t) => rig.start(t, start));
    const drawn = await rig.draw(
      starts.map(() => logits),
      starts,
    );
    for (const [t, { id }] of drawn.entries()) {
      const want = createSampler(starts[t]!)(logits).id;
      // Of so many equals one is as good as its neighbour: the sums are 2·10⁻⁶ off.
      if (logits === flat) expect(Math.abs(id - want), `row ${t}`).toBeLessThanOrEqual(1);
      else expect(id, `row ${t}`).toBe(want);
    }
    expect(drawn[1]!.id).toBeLessThan(logits === flat ? 100_003 : V);
  }
});

test("a draw is two dispatches", async () => {
  expect((await rigOf(device, 70)).kernels).toEqual(["sample_blocks", "sample_pick"]);
});
