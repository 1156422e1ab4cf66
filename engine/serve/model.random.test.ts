// Requests that come, are refused, are cut off, left and failed in any order, at a device that loses itself at times:
// whatever happened, in the end nobody is counted any more and everybody has heard how it ended.
import { MessageChannel, type MessagePort } from "node:worker_threads";
import { afterEach, beforeAll, expect, test } from "vitest";
import { demoModel } from "../../test-fixtures/golden.ts";
import { EngineError, toPlainError } from "../errors.ts";
import { defaultImageLimits } from "../image/index.ts";
import type { Placed } from "./group.ts";
import { DeviceLink } from "./link.ts";
import type { DeviceModelInfo, FromWorker, ToWorker } from "./messages.ts";
import { LoadedModel } from "./model.ts";
import { uniform } from "../reference/random.ts";
import { Resident } from "./resident.ts";
import { loadText, type ModelText } from "./text.ts";
import type { CacheFigures, GenerateEvent, Usage, LoadOptions } from "./types.ts";

const info: DeviceModelInfo = {
  ...{
    modelType: "qwen3_5",
    format: "safetensors",
    quant: "bf16",
    vocabSize: 3000,
    embeddingWidth: undefined,
    contextLength: 64,
  },
  ...{ maxInFlight: 3, parameters: 1, weightBytes: 1, cacheBytes: 1, scratchBytes: 1 },
  ...{ dispatchesPerToken: 1, vision: undefined },
  plans: [
    {
      ...{ model: "m", contextLength: 64, slots: 3, pages: 3, pagesPerSequence: 1, snapshots: 0 },
      ...{ parts: [], totalBytes: 1, budget: undefined },
    },
  ],
};
const usage: Usage = {
  ...{ promptTokens: 1, completionTokens: 1, reasoningTokens: 0, cachedTokens: 0, prefillMs: 1, decodeMs: 1 },
};
const cache: CacheFigures = {
  ...{ pages: { used: 0, idle: 0, free: 1 }, preemptions: 0, snapshots: 0, bytes: 0 },
  ...{ lookups: 0, hits: 0, lookedUpTokens: 0, reusedTokens: 0 },
};

let text: ModelText;
const ports: MessagePort[] = [];
beforeAll(async () => {
  text = await loadText(demoModel);
});
afterEach(() => {
  for (const port of ports.splice(0)) port.close();
});

/** A device that answers each job in steps, when it is told to, in the order that `random` says. */
class RandomDevice {
  readonly link: DeviceLink;
  readonly #port: MessagePort;
  readonly #random: () => number;
  readonly #jobs = new Map<number, { running: boolean; cancelled: boolean }>();

  constructor(random: () => number) {
    const { port1, port2 } = new MessageChannel();
    ports.push(port1, port2);
    this.#random = random;
    this.#port = port2;
    this.link = new DeviceLink(port1);
    port2.on("message", (message: ToWorker) => {
      if (message.type === "load") this.#post({ type: "loaded", model: message.model, info });
      else if (message.type === "unload") this.#post({ type: "unloaded", model: message.model });
      else if (message.type === "generate") this.#jobs.set(message.job, { running: false, cancelled: false });
      else if (message.type === "cancel") this.#cancel(message.job);
    });
  }

  async load(folder: string, options: LoadOptions): Promise<Placed> {
    const placed = { link: this.link, devices: [0], ...(await this.link.load({ folder, options })) };
    return { ...placed, unload: () => this.link.unload(placed.model) };
  }

  /** One step of one job. */
  step(): void {
    const [job, state] = [...this.#jobs][Math.floor(this.#random() * this.#jobs.size)] ?? [];
    if (job === undefined || state === undefined) return;
    const chance = this.#random();
    if (state.cancelled) this.#end(job, { type: "finished", reason: "cancelled", usage, cache });
    else if (!state.running) {
      state.running = true;
      const event = { type: "started", promptTokens: 1, cachedTokens: 0, cache } as const;
      this.#post({ type: "event", job, event });
    } else if (chance < 0.1) {
      this.#jobs.delete(job);
      this.#post({ type: "job_failed", job, error: toPlainError(new EngineError("internal", "chance")) });
    } else if (chance < 0.2) this.#end(job, { type: "finished", reason: "length", usage, cache });
    else this.#post({ type: "event", job, event: { type: "token", id: 300 + Math.floor(chance * 100) } });
  }

  #cancel(job: number): void {
    const state = this.#jobs.get(job);
    if (state) state.cancelled = true;
  }

  #end(job: number, event: GenerateEvent): void {
    this.#jobs.delete(job);
    this.#post({ type: "event", job, event });
  }

  #post(message: FromWorker): void {
    this.#port.postMessage(message);
  }
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

test.each([1, 2, 3, 4, 5, 6, 7, 8])("all counts return to zero (%i)", { timeout: 60_000 }, async (seed) => {
  let drawn = 0;
  const random = () => uniform(seed, drawn++);
  let device = new RandomDevice(random);
  const resident = new Resident("folder", {}, () => 1);
  await resident.load(device, () => undefined);
  const limits = { maxQueue: 4, maxQueueTokens: 60, maxPerPrincipal: 5, images: defaultImageLimits };
  const model = new LoadedModel(resident, text, limits);
  const outcomes = new Map<string, number>();
  const signals: AbortController[] = [];

  async function one(): Promise<void> {
    const abort = new AbortController();
    signals.push(abort);
    const prompt = Array.from({ length: 1 + Math.floor(random() * 70) }, () => 5);
    const principal = ["ada", "bob", "cy"][Math.floor(random() * 3)]!;
    let leaveAfter = Math.floor(random() * 20);
    let outcome = "ended";
    try {
      const events = model.complete({ prompt, principal, options: {} }, abort.signal);
      for (let next = await events.next(); !next.done; next = await events.next()) {
        leaveAfter -= 1;
        if (leaveAfter > 0) continue;
        outcome = "left";
        await events.return(undefined);
      }
    } catch (error) {
      outcome = (error as EngineError).code;
    }
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  }

  const asked: Promise<void>[] = [];
  for (let i = 0; i < 1500; i += 1) {
    const chance = random();
    if (i % 400 === 399) {
      device.link.fail(new EngineError("device_lost", "chance"));
      resident.down("recovering", "chance");
      asked.push(one());
      await turn();
      device = new RandomDevice(random);
      await resident.load(device, () => undefined);
    } else if (chance < 0.25) asked.push(one());
    else if (chance < 0.3) signals[Math.floor(random() * signals.length)]?.abort();
    else device.step();
    if (random() < 0.3) await turn();
    expect(model.load.running).toBeLessThanOrEqual(7);
  }
  let open = true;
  void Promise.all(asked).then(() => (open = false));
  while (open) {
    for (let i = 0; i < 5; i += 1) device.step();
    await turn();
  }
  expect(model.load).toEqual({ running: 0, waiting: 0 });
  expect(model.principals).toBe(0);
  for (const outcome of ["ended", "left", "cancelled", "device_lost", "internal", "queue_full"])
    expect(outcomes.get(outcome), outcome).toBeGreaterThan(0);
  expect(outcomes.get("context_length_exceeded")).toBeGreaterThan(0);
  expect([...outcomes.values()].reduce((sum, count) => sum + count)).toBe(asked.length);
});
