// A rank that follows: it has its share of a model, and does what the rank that leads says, in that order. What fails here
// ends the turn of all: whoever waits for a sum is told.
import type { MessagePort } from "node:worker_threads";
import { toPlainError } from "../../errors.ts";
import type { Converter } from "../../formats/quantise/pool.ts";
import type { Gpu } from "../../gpu/adapter.ts";
import { rehearseSum } from "../../parallel/rehearsal.ts";
import { takeSeat, type Seat } from "../../parallel/table.ts";
import type { FedPicture } from "../entrance.ts";
import type { Watch } from "../loadWatch.ts";
import type { Building } from "../building.ts";
import { figuresOf, type Part, type PartFigures } from "../part.ts";
import type { PrefillRun, Runner } from "../runner.ts";
import { heard } from "./heard.ts";
import type { AnnouncedPrefill, AnnouncedTurn, FromFollower, RankOrder, ToFollower } from "./messages.ts";

/** What nobody waits for a reply to. */
type Told = Extract<ToFollower, { type: "tell" | "copy" | "start" }>;

function isTold({ type }: ToFollower): boolean {
  return type === "tell" || type === "copy" || type === "start";
}

/** What a load is done with. */
export interface LoadMeans {
  watch: Watch;
  converter: Converter;
  building: Building;
}

/** What a follower's thread does for it. */
export interface FollowerMeans {
  /** Runs a load when no other is under way: error scopes are a stack of the whole device. */
  load<T>(folder: string, work: (means: LoadMeans) => Promise<T>): Promise<T>;
  /** Counts a step for the watchdog. */
  step<T>(work: () => Promise<T>): Promise<T>;
  /** Hears what is about to run, and when all is loaded. Throws what is to fail. */
  reached(point: "load" | "prefill" | "decode", runner: Runner | undefined): void;
  /** For tests: runs ahead of what it takes of a sum. */
  onSum?: (() => Promise<void>) | undefined;
}

export class Follower {
  /** Resolves when it has freed what it had, or whoever led it is gone. */
  readonly ended: Promise<void>;
  readonly #gpu: Gpu;
  readonly #port: MessagePort;
  readonly #means: FollowerMeans;
  #part: Part | undefined;
  #seat: Seat | undefined;
  /** What went wrong where nobody waits for a reply; the next turn fails with it. */
  #fault: Error | undefined;
  #leaving = false;
  #chain = Promise.resolve();

  constructor(gpu: Gpu, port: MessagePort, means: FollowerMeans) {
    this.#gpu = gpu;
    this.#port = port;
    this.#means = means;
    port.on("message", (message: ToFollower) => {
      this.#chain = this.#chain.then(() => this.#receive(message));
    });
    this.ended = new Promise((resolve) => {
      port.on("close", () => {
        this.#seat?.fail(); // whoever waits here waits for one that is gone
        void this.#chain.then(() => this.#free()).then(resolve);
      });
    });
  }

  /** Something happened to the device: the turn that runs, or the next, fails on all ranks. */
  fail(error: Error): void {
    this.#fault ??= error;
    this.#seat?.fail();
  }

  /** The thread is to end: what only takes time is cut short. */
  leave(): void {
    this.#leaving = true;
  }

  async #receive(message: ToFollower): Promise<void> {
    try {
      if (message.type === "tell") this.#runner.tell(message.write);
      else if (message.type === "copy") this.#runner.copy(message.copy);
      else if (message.type === "start") this.#runner.start(message.slot, message.start);
      else this.#reply({ type: "done", ...(await this.#do(message)) });
    } catch (error) {
      this.#seat?.fail();
      if (isTold(message)) this.#fault ??= error as Error;
      else this.#reply({ type: "failed", error: toPlainError(error) });
    }
  }

  async #do(message: Exclude<ToFollower, Told>): Promise<{ figures: PartFigures } | undefined> {
    switch (message.type) {
      case "load":
        return { figures: await this.#means.load(message.order.folder, (m) => this.#load(message.order, m)) };
      case "rehearse":
        await this.#means.step(() => this.#rehearse(message));
        return undefined;
      case "compile":
        await this.#runner.compile({ over: () => this.#leaving, step: (work) => this.#means.step(work) });
        return undefined;
      case "warmUp":
        await this.#means.step(() => this.#runner.warmUp());
        return undefined;
      case "turn":
        await this.#means.step(() => this.#turn(message.turn));
        return undefined;
      case "unload":
        this.#free();
        return undefined;
      default:
        return message satisfies never;
    }
  }

  #load(order: RankOrder, { watch, converter, building }: LoadMeans): Promise<PartFigures> {
    const { folder, options, rank, split, table, limitMs, plan } = order;
    const seat = (this.#seat = takeSeat(table, rank, limitMs));
    return building.withCheckpoint(folder, options.quant, watch, async (checkpoint) => {
      const share = (await building.dealt(checkpoint, split))[rank]!;
      const member = { share, peers: heard(seat.peers, this.#means.onSum) };
      this.#part = await building.loadPart(this.#gpu, checkpoint, {
        ...{ options, plan, member, converter, watch },
      });
      this.#means.reached("load", undefined);
      return figuresOf(this.#part);
    });
  }

  async #rehearse({
    table,
    rank,
    limitMs,
    hidden,
  }: Extract<ToFollower, { type: "rehearse" }>): Promise<void> {
    this.#seat = takeSeat(table, rank, limitMs);
    await rehearseSum(this.#gpu, this.#seat.peers.exchange!, hidden);
  }

  async #turn({ drawn, tokens, prefill }: AnnouncedTurn): Promise<void> {
    for (const { slot, id } of drawn) this.#runner.drew(slot, id);
    if (prefill) this.#means.reached("prefill", this.#runner);
    if (tokens.length > 0) this.#means.reached("decode", this.#runner);
    await this.#runner.turn(tokens, prefill && prefillRun(prefill));
    if (this.#fault) throw this.#fault;
  }

  get #runner(): Runner {
    if (!this.#part) throw new Error("a rank that has nothing of the model");
    return this.#part.runner;
  }

  #free(): void {
    this.#part?.destroy();
    this.#part = undefined;
  }

  #reply(message: FromFollower): void {
    this.#port.postMessage(message);
  }
}

function prefillRun({ slot, past, ids, positions, pictures, snapshot, want }: AnnouncedPrefill): PrefillRun {
  const fed = pictures.map(({ at, tokens, values }): FedPicture => ({
    ...{ at, rows: tokens, columns: 1 },
    embedding: { shape: [tokens, values.length / tokens], values },
  }));
  const feed = { ids, positions, pictures: fed, delta: 0 };
  return { slot, feed, past, from: 0, to: ids.length, want, snapshot };
}
