// The step loop of one model, in the thread that owns the device: turn after turn, the scheduler says who computes what,
// the runner computes it, each request draws from what it got. Between two turns the thread hears its messages, so a
// request comes and goes with the next turn. While turns do nothing but go on, the next ones begin before the results of
// the one ahead are there: each draw is where the next turn reads it. While nobody is there the loop stands still.
import type { Grammars } from "../grammar/matcher.ts";
import type { Outcome, Outcomes, TurnTaker } from "./runner.ts";
import { Job, type Listener } from "./job.ts";
import { Pulse } from "./pulse.ts";
import { Scheduler, type Drawn, type SchedulerStats, type Step } from "./scheduler.ts";
import type { CacheFigures, GenerateRequest } from "./types.ts";
import type { Vision } from "./vision.ts";

export interface TurnsOptions {
  /** Most tokens of a prompt in one turn; whole pages. */
  chunk: number;
  /** Whether the model has layers with a state besides the cache. */
  states: boolean;
  /** Of the runner's, how many may be used; default: all. */
  pages?: number;
  /** What is computed of a prompt is kept for prompts that begin alike; default: false. */
  prefixCache?: boolean;
  /** See snapshotPoints; default: none. */
  specialTokens?: readonly number[];
  /** As the scheduler's; default: false. */
  strict?: boolean;
  /** Hears each turn before it runs. */
  onStep?: (step: Step) => void;
  /** Counts turns and pictures for a watchdog. */
  pulse?: Pulse;
}

/** A turn that the device has, and what will come of it. */
interface Flight {
  step: Step;
  outcome: Promise<Outcomes>;
}

export class Turns {
  readonly #runner: TurnTaker;
  readonly #vision: Vision | undefined;
  readonly #scheduler: Scheduler;
  readonly #onStep: (step: Step) => void;
  readonly #pulse: Pulse;
  readonly #jobs = new Map<number, Job>();
  /** The oldest first. */
  readonly #flights: Flight[] = [];
  /** Pictures are computed for one request after another. */
  #encoding = Promise.resolve();
  #loop: Promise<void> | undefined;
  #fault: Error | undefined;
  #grammars: Grammars | undefined;

  constructor(
    runner: TurnTaker,
    vision: Vision | undefined,
    { onStep = () => undefined, pulse = new Pulse(), ...options }: TurnsOptions,
  ) {
    const { contextLength, slots, snapshots, pages } = runner;
    this.#runner = runner;
    this.#vision = vision;
    this.#onStep = onStep;
    this.#pulse = pulse;
    this.#scheduler = new Scheduler({
      ...{ slots, contextLength, snapshots, pages, prefixCache: false, specialTokens: [] },
      ...options,
      ...{ maxQueue: Infinity, maxPerPrincipal: Infinity }, // the main thread bounds the queue
    });
  }

  get stats(): SchedulerStats {
    return this.#scheduler.stats;
  }

  get figures(): CacheFigures {
    const { pages, prefix, preemptions } = this.#scheduler.stats;
    const { used, idle, free } = pages;
    const { pages: kept, snapshots, ...counts } = prefix;
    const bytes = kept * this.#runner.pageBytes + snapshots * this.#runner.stateBytes;
    const { sums } = this.#runner;
    return { ...counts, pages: { used, idle, free }, preemptions, snapshots, bytes, ...(sums && { sums }) };
  }

  /** What requests with a grammar need, ahead of the first. */
  learn(grammars: Grammars): void {
    this.#grammars = grammars;
  }

  /** Takes a request; `listener` hears what becomes of it. Errors: a grammar's. */
  submit(id: number, request: GenerateRequest, listener: Listener): void {
    const job = new Job(id, request, listener, () => this.figures, this.#grammars);
    this.#jobs.set(id, job);
    if (request.images.length === 0) this.#admit(job);
    else this.#encoding = this.#encoding.then(() => this.#encode(job));
  }

  /** Ends a request with its next turn, or at once while it has no slot; its listener hears `cancelled`. */
  cancel(id: number): void {
    const job = this.#jobs.get(id);
    job?.abort.abort();
    if (job) job.cancelled = true;
    this.#scheduler.cancel(id);
    this.#wake();
  }

  /** A command was refused, so that what the device holds cannot be trusted: what runs now fails. */
  fault(error: Error): void {
    if (this.#loop) this.#fault ??= error;
    for (const { abort } of this.#jobs.values()) abort.abort(error);
  }

  /** Cancels everything and waits until the device is done with it. */
  async stop(): Promise<void> {
    for (const id of [...this.#jobs.keys()]) this.cancel(id);
    await this.#encoding;
    await this.#loop;
  }

  async #encode(job: Job): Promise<void> {
    const { signal } = job.abort;
    try {
      signal.throwIfAborted();
      const vision = this.#vision;
      if (!vision) throw new Error("pictures for a model without a tower");
      job.hold(await this.#pulse.beat(() => vision.embed(job.request.images, signal)));
      signal.throwIfAborted();
      this.#admit(job);
    } catch (error) {
      this.#jobs.delete(job.id);
      if (signal.aborted && isCancellation(signal.reason)) job.finish("cancelled");
      else job.fail(signal.aborted ? signal.reason : error);
    }
  }

  #admit({ id, stepwise, request: { prompt, maxTokens, images, family } }: Job): void {
    const merge = this.#vision?.info.merge ?? 1;
    const pictures = images.map(({ at, hash, grid: [, rows, columns] }) => ({
      ...{ at, hash, rows: rows / merge, columns: columns / merge },
    }));
    try {
      this.#scheduler.admit({ id, prompt, pictures, maxTokens, family, stepwise });
    } catch (error) {
      this.#leave(id)?.fail(error);
    }
    this.#wake();
  }

  #wake(): void {
    if (!this.#scheduler.busy) return;
    this.#loop ??= this.#turns().finally(() => {
      this.#loop = undefined;
      this.#wake(); // somebody may have come while the promise was being settled
    });
  }

  async #turns(): Promise<void> {
    while (this.#scheduler.busy) {
      try {
        this.#launch(this.#scheduler.next());
        while (this.#flights.length > 0) {
          this.#runAhead();
          await this.#land();
        }
      } catch (error) {
        await this.#abandon();
        for (const { sequence } of this.#scheduler.fail("running")) this.#leave(sequence)?.fail(error);
      }
    }
  }

  /** Keeps the device at work while results are on their way. */
  #runAhead(): void {
    while (this.#flights.length <= this.#runner.ahead) {
      const step = this.#scheduler.ahead();
      if (!step) return;
      this.#launch(step);
    }
  }

  #launch(step: Step): void {
    // First: of them nobody knows any more, should the rest fail.
    for (const { sequence, usage } of step.ended) this.#leave(sequence)?.finish("cancelled", usage);
    this.#onStep(step);
    for (const { sequence, slot, from } of step.started) {
      const start = this.#jobs.get(sequence)?.start(from);
      if (start) this.#runner.start(slot, start);
    }
    for (const write of step.tables) this.#runner.tell(write);
    for (const copy of step.copies) this.#runner.copy(copy);
    const outcome = this.#pulse.beat(() => this.#run(step));
    outcome.catch(() => undefined); // it is heard when its turn comes, or by nobody
    this.#flights.push({ step, outcome });
  }

  async #run({ decode, prefill }: Step): Promise<Outcomes> {
    if (decode.length === 0 && !prefill) return { decoded: [], prefilled: undefined };
    return this.#runner.turn(
      decode.map((row) => this.#job(row.sequence).decode(row)),
      prefill && this.#job(prefill.sequence).prefill(prefill),
    );
  }

  /** Waits for the oldest turn, and hands out what it brought. */
  async #land(): Promise<void> {
    const { step, outcome } = this.#flights[0]!;
    const { decoded, prefilled } = await outcome;
    this.#flights.shift();
    this.#throwFault();
    const drawn = step.decode.map(({ sequence }, i) => this.#draw(sequence, decoded[i]));
    if (step.prefill?.logits) drawn.push(this.#draw(step.prefill.sequence, prefilled));
    for (const { sequence, reason, usage } of this.#scheduler.done(drawn.filter((one) => one !== undefined)))
      if (reason !== "failed") this.#leave(sequence)?.finish(reason, usage);
  }

  /** What the flights behind a failed one would bring is nobody's; but a device must not end while it owes it. */
  async #abandon(): Promise<void> {
    await Promise.allSettled(this.#flights.splice(0).map(({ outcome }) => outcome));
  }

  #throwFault(): void {
    const fault = this.#fault;
    this.#fault = undefined;
    if (fault) throw fault;
  }

  /** Nothing for who has ended or left meanwhile. A request whose own drawing fails ends alone. */
  #draw(sequence: number, outcome: Outcome): Drawn | undefined {
    const job = this.#jobs.get(sequence);
    if (!job || job.cancelled) return undefined;
    try {
      return job.draw(outcome);
    } catch (error) {
      this.#leave(sequence)?.fail(error);
      this.#scheduler.cancel(sequence);
      return undefined;
    }
  }

  #job(sequence: number): Job {
    const job = this.#jobs.get(sequence);
    if (!job) throw new Error(`sequence ${sequence} has no job`);
    return job;
  }

  #leave(sequence: number): Job | undefined {
    const job = this.#jobs.get(sequence);
    this.#jobs.delete(sequence);
    return job;
  }
}

/** Aborted by the caller rather than by a fault of the device. */
function isCancellation(reason: unknown): boolean {
  return !(reason instanceof Error) || reason.name === "AbortError";
}
