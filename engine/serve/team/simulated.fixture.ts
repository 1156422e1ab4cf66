// Threads of devices that are none: each a port to the code that serves devices, in this thread, with a device that
// computes nothing and models that weigh nothing. Who waits for whom, what is told, what fails and what is freed is all
// as it really is. What a simulated model draws depends on every token of its sequence as each rank has heard of it.
import { EventEmitter } from "node:events";
import { MessageChannel, type MessagePort } from "node:worker_threads";
import { serialConverter } from "../../formats/quantise/pool.ts";
import { capabilitiesOf, type Gpu } from "../../gpu/adapter.ts";
import type { Relay } from "../../gpu/handovers.ts";
import type { Exchange } from "../../gpu/pass.ts";
import type { Apart } from "../../gpu/plan.ts";
import type { DeviceReport } from "../../gpu/report.ts";
import { Tuning } from "../../gpu/tuning.ts";
import type { Split } from "../../parallel/shares.ts";
import type { Building } from "../building.ts";
import { serveDevice } from "../deviceServer.ts";
import type { Machine } from "../machine.ts";
import type { FromWorker, ThreadData, ToWorker } from "../messages.ts";
import type { Part, PartOptions } from "../part.ts";
import type { DecodeToken, Outcome, PrefillRun } from "../runner.ts";
import { mix } from "../simulated.fixture.ts";
import type { Spawn, Thread } from "../thread.ts";
import type { LoadProgress, MemoryPlan } from "../types.ts";

/** Ids that a simulated model draws. */
export const firstId = 60;
const ids = 200;
const hidden = 3;
const slots = 2;

/** All devices of an engine, through their lives. */
export class World {
  /** Parts of models on devices that live. */
  readonly parts = new Set<object>();
  readonly devices = new Set<object>();
}

/** What starts its threads. */
export function spawnIn(world: World): Spawn {
  return (data) => new SimulatedThread(world, data) as unknown as Thread;
}

class SimulatedThread extends EventEmitter {
  readonly #mine: MessagePort;
  /** The thread's end, and those of the teams that it is in: they close when it ends. */
  readonly #its: MessagePort[];

  constructor(world: World, data: ThreadData) {
    super();
    const { port1, port2 } = new MessageChannel();
    this.#mine = port1;
    this.#its = [port2];
    port2.on("message", (message: ToWorker) => {
      if (message.type === "follow") this.#its.push(message.port);
      if (message.type === "load") this.#its.push(...(message.team?.ports ?? []));
    });
    port1.on("message", (message: FromWorker) => this.emit("message", message));
    void serveDevice(port2, data, machineIn(world));
  }

  postMessage(message: ToWorker, ports: readonly MessagePort[]): void {
    this.#mine.postMessage(message, ports);
  }

  async terminate(): Promise<void> {
    for (const port of [this.#mine, ...this.#its]) port.close();
    this.emit("exit", 1);
  }

  unref(): void {
    this.#mine.unref();
  }
}

function machineIn(world: World): Machine {
  let crashed: (error: Error) => void = () => undefined;
  return {
    open: async () => {
      const gpu = openIn(world);
      return { gpu, settled: async () => undefined };
    },
    onCrash: (hear) => (crashed = hear),
    crash: (error) => void setImmediate(() => crashed(error)),
    end: () => undefined,
    converter: () => serialConverter,
    building: buildingIn(world),
  };
}

const report: DeviceReport = {
  ...{ index: 0, name: "null", vendor: "nobody", driver: "none", kind: "hardware" },
  ...{ backend: "null", memoryTotalMb: 1000, features: [], limits: {}, wgslFeatures: [] },
  ...{ subgroups: undefined, subgroupMatrixConfigs: [] },
};

/** Its promises are kept when others have had their turn, and broken when it is destroyed. */
function openIn(world: World): Gpu {
  const own = {};
  let lose!: (info: GPUDeviceLostInfo) => void;
  const lost = new Promise<GPUDeviceLostInfo>((resolve) => (lose = resolve));
  const destroy = () => {
    world.devices.delete(own);
    for (const part of world.parts) if ((part as SimulatedRunner).device === own) world.parts.delete(part);
    lose({ reason: "destroyed", message: "it was destroyed" } as GPUDeviceLostInfo);
  };
  const later = () =>
    new Promise<void>((resolve, reject) => {
      setImmediate(() => (world.devices.has(own) ? resolve() : reject(new Error("a destroyed device"))));
    });
  world.devices.add(own);
  const device = {
    own,
    addEventListener: () => undefined,
    createComputePipelineAsync: later,
    queue: { onSubmittedWorkDone: later },
  };
  return { device, ...capabilitiesOf(report), lost, destroy, tuning: new Tuning() } as unknown as Gpu;
}

/** One rank of a model. */
class SimulatedRunner {
  readonly contextLength = 64;
  readonly slots = slots;
  readonly pages = slots;
  readonly snapshots = 0;
  readonly ahead = 0;
  readonly pageBytes = 1;
  readonly stateBytes = 1;
  readonly cacheBytes = 1;
  readonly scratchBytes = 1;
  readonly decodeKernels = ["one"];
  readonly device: object;
  readonly #gpu: Gpu;
  readonly #world: World;
  readonly #member: PartOptions["member"];
  /** What each slot's sequence has been so far. */
  readonly #seen = new Map<number, number>();

  constructor(world: World, gpu: Gpu, member: PartOptions["member"]) {
    this.#world = world;
    this.#gpu = gpu;
    this.#member = member;
    this.device = (gpu.device as unknown as { own: object }).own;
    world.parts.add(this);
  }

  tell(): void {}
  copy(): void {}
  start(): void {}
  drew(): void {}

  async compile({ step }: Apart): Promise<void> {
    await step(() => this.#gpu.device.queue.onSubmittedWorkDone(), "all");
  }

  async warmUp(): Promise<void> {
    for (let slot = 0; slot < slots; slot += 1) await this.#met(slot);
  }

  async turn(
    tokens: readonly DecodeToken[],
    prefill?: PrefillRun,
  ): Promise<{ decoded: Outcome[]; prefilled: Outcome }> {
    const decoded: Outcome[] = [];
    for (const { slot, row, id } of tokens) {
      if (row === 0) this.#seen.set(slot, 0); // a prompt of one token
      decoded.push(await this.#step(slot, [id!]));
    }
    if (!prefill) return { decoded, prefilled: undefined };
    const { slot, feed, from, to, past = 0 } = prefill;
    if (past + from === 0) this.#seen.set(slot, 0);
    return { decoded, prefilled: await this.#step(slot, feed.ids.slice(from, to)) };
  }

  destroy(): void {
    this.#world.parts.delete(this);
  }

  async #step(slot: number, tokens: readonly number[]): Promise<Outcome> {
    this.#seen.set(slot, tokens.reduce(mix, this.#seen.get(slot) ?? 0));
    return { id: firstId + ((await this.#met(slot)) % ids) };
  }

  /** What all ranks have seen of a slot, if they have seen the same. */
  async #met(slot: number): Promise<number> {
    const { share, peers } = this.#member ?? {};
    const rank = share?.rank ?? 0;
    const own = (this.#seen.get(slot) ?? 0) % 1009;
    const part = new Float32Array(hidden).fill(own * (rank + 1));
    const work = () => this.#gpu.device.queue.onSubmittedWorkDone();
    await work();
    const ranks = share ? (share.config as { ranks?: number }).ranks! : 1;
    if (peers?.exchange) await summed(peers.exchange, part, work);
    if (peers?.exchange) await gathered(peers.exchange, ranks, part);
    if (peers?.relay) await handed(peers.relay, share!.config.stage!, part, work);
    await work();
    return part[1]! / ((ranks * (ranks + 1)) / 2);
  }
}

/** As two sums of a layer, the second of which leaves what the first gave. */
async function summed(exchange: Exchange, part: Float32Array, work: () => Promise<unknown>): Promise<void> {
  exchange.give(part);
  await exchange.take(part);
  await work();
  exchange.give(exchange.rank === 0 ? part : new Float32Array(hidden));
  await exchange.take(part);
}

/** As what is known of logits: all give theirs, and have what the first of them gave. */
async function gathered(exchange: Exchange, ranks: number, part: Float32Array): Promise<void> {
  const own = new Uint32Array(part.slice(exchange.rank).buffer);
  const [first] = await exchange.gather(
    own,
    Array.from({ length: ranks }, (_, rank) => Math.max(0, hidden - rank)),
  );
  part.set(new Float32Array(first!.buffer));
}

async function handed(
  relay: Relay,
  { number, stages }: { number: number; stages: number },
  part: Float32Array,
  work: () => Promise<unknown>,
): Promise<void> {
  const came = new Float32Array(hidden);
  const before = (number + stages - 1) % stages;
  if (number > 0) {
    await relay.receive(came, before);
    for (let i = 0; i < hidden; i += 1) part[i]! += came[i]!;
    await work();
  }
  await relay.send(part, (number + 1) % stages);
  if (number === 0) await relay.receive(part, before);
}

const plan: MemoryPlan = {
  ...{ model: "simulated", contextLength: 64, slots, pages: slots, pagesPerSequence: 1, snapshots: 0 },
  ...{ parts: [], totalBytes: 100, budget: undefined },
};

function buildingIn(world: World): Building {
  const stage = (split: Split, number: number) =>
    split.by === "pipeline" ? { number, stages: split.spans.length, firstLayer: number } : undefined;
  const building = {
    withCheckpoint: async (_folder, _quant, watch, work) => watch.guard(work({} as never)),
    planAlone: async () => plan,
    decided: async (_gpu, _checkpoint, { places, by = "tensor" }) => {
      const spans = places.map((_, i) => ({ from: i, to: i + 1 }));
      const weights = places.map(({ weight }) => weight);
      return { split: by === "tensor" ? { by, weights } : { by, spans }, why: "as the test says" };
    },
    dealt: async (_checkpoint, split) => {
      const parts = split.by === "tensor" ? split.weights : split.spans;
      return parts.map((_, rank) => ({
        ...{ rank, sliceOf: () => undefined },
        config: { ...config, ranks: parts.length, stage: stage(split, rank) } as never,
      }));
    },
    planTeam: async (_gpu, _checkpoint, _options, places) => places.map(() => plan),
    parametersOf: async () => 1,
    loadPart: (gpu, _checkpoint, options) => options.watch!.guard(built(world, gpu, options)),
  } satisfies Building;
  return building;
}

const config = { vocab: firstId + ids, hidden, layerTypes: [] };
const counted = { bytes: 1, totalBytes: 1, tensors: 1, totalTensors: 1 };

async function built(world: World, gpu: Gpu, { member, watch, onProgress }: PartOptions): Promise<Part> {
  await watch!.during("reading", watch!.arrived());
  await gpu.device.createComputePipelineAsync({} as GPUComputePipelineDescriptor);
  await gpu.device.queue.onSubmittedWorkDone();
  if (watch!.error) throw watch!.error;
  const runner = new SimulatedRunner(world, gpu, member);
  const progress: LoadProgress = { phase: "ready", ...counted };
  try {
    if (!member) await runner.warmUp();
    if (!member) onProgress?.(progress);
  } catch (error) {
    runner.destroy();
    throw error;
  }
  const loader = { checkpoint: { format: "none" }, mainFormat: "none", bytes: 1, parameters: 1 };
  const part = { config, loader, runner, vision: undefined, progress, destroy: () => runner.destroy() };
  return part as unknown as Part;
}
