// Who computes what in the next turn. Every turn carries one token of each running sequence that has its prompt behind
// it, and at most one chunk of one prompt, so that running answers wait for no more than a chunk. First come, first
// served; when pages run out, the newest gives up its own and begins again later from its tokens. No clock, no device:
// `next` decides, `done` hears what came of it.
//
// The rule of admission: a sequence gets a slot when it is the oldest that waits, no other prompt is being computed,
// and pages are free or idle for all its tokens and one more, and one besides for each sequence that runs. In strict mode
// they must be for all that it may become: begun again from its tokens it would have other last bits.
import { EngineError } from "../errors.ts";
import { PAGE, PagePool, pagesFor } from "./pages.ts";
import { noMatch, PrefixCache, type Match } from "./prefix.ts";
import {
  goesOn,
  insert,
  isFull,
  mostLength,
  nextCut,
  remaining,
  sequenceOf,
  usageOf,
  willBeFull,
  type Sequence,
} from "./sequence.ts";
import {
  checkOptions,
  reuseOf,
  type Drawn,
  type Ended,
  type Prefill,
  type SchedulerOptions,
  type SchedulerStats,
  type SequenceRequest,
  type Step,
} from "./schedulerTypes.ts";

export type * from "./schedulerTypes.ts";

/** A turn that is not done, and who takes part. */
interface Flight {
  step: Step;
  members: ReadonlyMap<number, Sequence>;
}

export class Scheduler {
  readonly #options: SchedulerOptions;
  readonly #pool: PagePool;
  readonly #cache: PrefixCache;
  readonly #sequences = new Map<number, Sequence>();
  /** Both oldest first. */
  readonly #running: Sequence[] = [];
  readonly #waiting: Sequence[] = [];
  readonly #principals = new Map<string, number>();
  /** The next to be taken is the last. */
  readonly #freeSlots: number[];
  #ended: Ended[] = [];
  /** The oldest first. */
  readonly #inFlight: Flight[] = [];
  #arrivals = 0;
  #turn = 0;
  #preemptions = 0;

  constructor(options: SchedulerOptions) {
    checkOptions(options);
    this.#options = options;
    this.#pool = new PagePool(options.pages);
    this.#cache = new PrefixCache(this.#pool, { reuse: reuseOf(options), snapshots: options.snapshots });
    this.#freeSlots = Array.from({ length: options.slots }, (_, i) => options.slots - 1 - i);
  }

  /** False when `next` would have nothing to say. */
  get busy(): boolean {
    return this.#sequences.size > 0 || this.#ended.length > 0;
  }

  get stats(): SchedulerStats {
    const { count: total, used, idle, free } = this.#pool;
    const [running, waiting] = [this.#running.length, this.#waiting.length];
    const pages = { total, used, idle, free };
    return { running, waiting, preemptions: this.#preemptions, pages, prefix: this.#cache.stats };
  }

  /**
   * Puts a request into the queue. May be called at any time.
   * Errors: context_length_exceeded; queue_full and rate_limit_exceeded, with `retryAfter` in seconds.
   */
  admit(request: SequenceRequest): void {
    const { id, prompt, principal, maxTokens } = request;
    if (prompt.length === 0 || !(maxTokens >= 1))
      throw new Error("a request without prompt or tokens to make");
    if (this.#sequences.has(id)) throw new Error(`sequence ${id} is here already`);
    this.#checkDoor(prompt.length, principal);
    const sequence = sequenceOf(request, this.#options, this.#arrivals);
    this.#arrivals += 1;
    this.#sequences.set(id, sequence);
    this.#waiting.push(sequence);
    if (principal !== undefined) this.#count(principal, 1);
  }

  /**
   * Ends a sequence: at once where it waits, with the next step where it runs. May be called at any time; of a
   * sequence that is not here nothing is heard.
   */
  cancel(id: number): void {
    const sequence = this.#sequences.get(id);
    if (sequence?.slot === undefined) {
      if (sequence) this.#ended.push(this.#leave(sequence, "cancelled"));
      return;
    }
    sequence.cancelled = true;
  }

  /** The next turn, when none is in flight. `done` must follow, with nothing drawn where the step has no rows. */
  next(): Step {
    const [flight] = this.#inFlight;
    if (flight) throw new Error(`turn ${flight.step.turn} is not done`);
    for (const sequence of this.#running.filter(({ cancelled }) => cancelled))
      this.#ended.push(this.#leave(sequence, "cancelled"));
    const step = this.#newStep();
    this.#growRunning(step);
    this.#startWaiting(step);
    step.prefill = this.#nextPrefill();
    this.#fill(step, this.#running);
    this.#depart(step);
    return step;
  }

  /**
   * The turn behind those in flight, whose draws are not known yet: one more token of every sequence that may have it.
   * undefined where there is more to decide than that, or one of them is stepwise, as a turn carries all that run; then
   * those in flight must be done first. A sequence that a draw in flight ends is computed beyond its end: what was drawn
   * for it there is to be forgotten, and nobody reads what was written, since all that comes later on the device is
   * ordered behind it.
   */
  ahead(): Step | undefined {
    if (this.#inFlight.length === 0) throw new Error("no turn is in flight");
    const waits = this.#ended.length > 0 || (this.#waiting.length > 0 && this.#freeSlots.length > 0);
    if (waits || !this.#running.every(goesOn)) return undefined;
    const going = this.#running.filter((one) => !willBeFull(one, this.#options.contextLength));
    if (going.length === 0 || !going.every((one) => this.#hasRoom(one))) return undefined;
    const step = this.#newStep();
    this.#fill(step, going);
    this.#depart(step);
    return step;
  }

  /**
   * What the oldest step in flight gave: a token for every row of its decode run, and one for its prefill where that
   * has logits; a sequence cancelled meanwhile may be left out, and of one that has ended nothing is heard. Returns
   * those that ended by it.
   */
  done(drawn: readonly Drawn[]): Ended[] {
    const flight = this.#inFlight.shift();
    if (!flight) throw new Error("no turn is in flight");
    const { step, members } = flight;
    const isHere = (id: number) => members.has(id) && this.#sequences.get(id) === members.get(id);
    const decoded = step.decode.filter(({ sequence }) => isHere(sequence));
    for (const { sequence, row } of decoded) this.#computed(sequence, row + 1, undefined);
    if (step.prefill) this.#computed(step.prefill.sequence, step.prefill.to, step.prefill.snapshot);
    const awaited = new Set(decoded.map(({ sequence }) => sequence));
    if (step.prefill?.logits) awaited.add(step.prefill.sequence);
    const ended: Ended[] = [];
    for (const { sequence: id, token, stop } of drawn) {
      if (members.has(id) && !isHere(id)) continue;
      if (!awaited.delete(id)) throw new Error(`turn ${step.turn} gave sequence ${id} no logits`);
      const sequence = this.#sequences.get(id)!;
      sequence.content.tokens.push(token);
      if (stop) ended.push(this.#leave(sequence, "stop"));
      else if (isFull(sequence, this.#options.contextLength)) ended.push(this.#leave(sequence, "length"));
    }
    for (const id of awaited) {
      if (!this.#sequences.get(id)!.cancelled) throw new Error(`sequence ${id} was drawn no token`);
    }
    return ended;
  }

  /**
   * The device failed: what it held is lost, the steps in flight and the prefix cache with it. Ends the running
   * sequences, or all; those that wait may go on on a new device of the same size.
   */
  fail(which: "running" | "all"): Ended[] {
    const failed = which === "all" ? [...this.#running, ...this.#waiting] : [...this.#running];
    const ended = failed.map((sequence) => this.#leave(sequence, "failed"));
    this.#inFlight.length = 0;
    this.#cache.clear();
    return ended;
  }

  #checkDoor(promptTokens: number, principal: string | undefined): void {
    const { contextLength: max, slots, maxQueue, maxPerPrincipal } = this.#options;
    if (promptTokens >= max) {
      const text = `a prompt of ${promptTokens} tokens and its answer do not fit a context of ${max}`;
      throw new EngineError("context_length_exceeded", text, { max, promptTokens });
    }
    const here = this.#sequences.size;
    const retryAfter = retryAfterSeconds(here - slots);
    if (here >= slots + maxQueue) {
      const waiting = this.#waiting.length;
      const text = `${here} requests run or wait for this model already`;
      throw new EngineError("queue_full", text, { waiting, limit: maxQueue, retryAfter });
    }
    const own = principal === undefined ? 0 : (this.#principals.get(principal) ?? 0);
    if (own >= maxPerPrincipal) {
      const text = `${own} requests of yours run or wait for this model already, the limit is ${maxPerPrincipal}`;
      throw new EngineError("rate_limit_exceeded", text, { limit: maxPerPrincipal, retryAfter });
    }
  }

  #count(principal: string, change: number): void {
    const count = (this.#principals.get(principal) ?? 0) + change;
    if (count === 0) this.#principals.delete(principal);
    else this.#principals.set(principal, count);
  }

  #leave(sequence: Sequence, reason: Ended["reason"]): Ended {
    if (sequence.slot === undefined) remove(this.#waiting, sequence);
    else this.#vacate(sequence);
    this.#sequences.delete(sequence.id);
    if (sequence.principal !== undefined) this.#count(sequence.principal, -1);
    if (!this.#options.prefixCache && sequence.shares) this.#forget(sequence);
    return { sequence: sequence.id, reason, usage: usageOf(sequence) };
  }

  /** Without a prefix cache nothing outlives a family. */
  #forget({ content, family }: Sequence): void {
    const left = [...this.#sequences.values()].some((other) => other.family === family);
    if (!left) this.#cache.forget(content);
  }

  #vacate(sequence: Sequence): void {
    remove(this.#running, sequence);
    this.#pool.releaseAll(sequence.table.pages);
    sequence.table.clear();
    this.#freeSlots.push(sequence.slot!);
    sequence.slot = undefined;
    sequence.computed = sequence.planned = 0;
  }

  /** Room for the token that each sequence computes now, the oldest first, at the cost of the newest. */
  #growRunning(step: Step): void {
    for (const sequence of [...this.#running]) {
      while (sequence.slot !== undefined && sequence.table.pages.length * PAGE <= sequence.computed) {
        const page = this.#cache.take();
        if (page !== undefined) sequence.table.add([page]);
        else this.#preempt(this.#running.at(-1)!, step);
      }
    }
  }

  #preempt(sequence: Sequence, step: Step): void {
    if (this.#running.length === 1) throw new Error("a sequence alone has not pages enough");
    this.#vacate(sequence);
    insert(this.#waiting, sequence);
    step.preempted.push(sequence.id);
    this.#preemptions += 1;
  }

  #startWaiting(step: Step): void {
    for (let sequence = this.#waiting[0]; sequence; sequence = this.#waiting[0]) {
      if (this.#freeSlots.length === 0 || this.#running.some((other) => remaining(other) > 1)) return;
      if (!this.#start(sequence, step)) return;
    }
  }

  /** Begins with what the prefix cache has; with nothing of it where that alone makes it fit. */
  #start(sequence: Sequence, step: Step): boolean {
    const { tokens } = sequence.content;
    const match = sequence.shares ? this.#cache.match(sequence.content, tokens.length - 1) : noMatch;
    const begun = [match, noMatch].find((from) => this.#takePages(sequence, from));
    if (!begun) return false;
    const slot = this.#seat(sequence, begun.tokens, begun.ropeDelta, step);
    if (begun.partial !== undefined)
      step.copies.push({ kind: "page", from: begun.partial, to: sequence.table.pages[begun.pages.length]! });
    if (begun.snapshot !== undefined) step.copies.push({ kind: "restore", snapshot: begun.snapshot, slot });
    else if (this.#options.states) step.copies.push({ kind: "clear", slot });
    if (sequence.cachedTokens === undefined) {
      sequence.cachedTokens = begun.tokens;
      this.#cache.reused(begun, tokens.length);
    }
    return true;
  }

  /** Shares the match's pages and takes those that are missing, or neither. */
  #takePages(sequence: Sequence, match: Match): boolean {
    const pinned = match.partial === undefined ? match.pages : [...match.pages, match.partial];
    for (const page of pinned) this.#pool.share(page);
    const { strict = false, contextLength } = this.#options;
    const whole = strict ? mostLength(sequence, contextLength) : sequence.content.tokens.length + 1;
    const missing = pagesFor(whole) - match.pages.length;
    const spare = strict ? 0 : this.#running.length;
    if (this.#pool.free + this.#pool.idle < missing + spare) {
      this.#pool.releaseAll(pinned);
      return false;
    }
    sequence.table.add(match.pages);
    for (let i = 0; i < missing; i += 1) sequence.table.add([this.#cache.take()!]);
    // Copied before anything is written, so it may become another's in this very step.
    if (match.partial !== undefined) this.#pool.release(match.partial);
    return true;
  }

  #seat(sequence: Sequence, from: number, ropeDelta: number, step: Step): number {
    const slot = this.#freeSlots.pop()!;
    sequence.slot = slot;
    sequence.computed = sequence.planned = from;
    remove(this.#waiting, sequence);
    this.#running.push(sequence);
    step.started.push({ sequence: sequence.id, slot, from, ropeDelta });
    return slot;
  }

  #nextPrefill(): Prefill | undefined {
    const sequence = this.#running.find((one) => remaining(one) > 1);
    if (!sequence) return undefined;
    const { id, content, computed: from, points } = sequence;
    const to = nextCut(sequence, this.#options.chunk);
    return {
      ...{ sequence: id, slot: sequence.slot!, from, to, tokens: content.tokens.slice(from, to) },
      logits: to === content.tokens.length,
      snapshot: points.includes(to) ? this.#cache.reserve(content, to) : undefined,
    };
  }

  #newStep(): Step {
    this.#turn += 1;
    const ended = this.#ended;
    this.#ended = [];
    return {
      ...{ turn: this.#turn, ended, preempted: [], started: [] },
      ...{ tables: [], copies: [], decode: [], prefill: undefined },
    };
  }

  /** What tables have become, and a row for each that goes on and has no more than one token to compute. */
  #fill(step: Step, going: readonly Sequence[]): void {
    const bySlot = [...this.#running].sort((a, b) => a.slot! - b.slot!);
    for (const sequence of bySlot) {
      const { id, content, planned: row, table } = sequence;
      const slot = sequence.slot!;
      const untold = table.untold();
      if (untold) step.tables.push({ slot, ...untold });
      if (going.includes(sequence) && content.tokens.length - row <= 1)
        step.decode.push({ sequence: id, slot, row, token: content.tokens[row] });
    }
  }

  #depart(step: Step): void {
    const members = new Map<number, Sequence>();
    const rows = step.decode.map(({ sequence, row }) => [sequence, row + 1] as const);
    if (step.prefill) rows.push([step.prefill.sequence, step.prefill.to]);
    for (const [id, planned] of rows) {
      const sequence = this.#sequences.get(id)!;
      sequence.planned = planned;
      members.set(id, sequence);
    }
    this.#inFlight.push({ step, members });
  }

  /** Whether there is a page for its next row, at nobody's cost. */
  #hasRoom({ table, planned }: Sequence): boolean {
    if (table.pages.length * PAGE > planned) return true;
    const page = this.#cache.take();
    if (page !== undefined) table.add([page]);
    return page !== undefined;
  }

  /** Notes that the first `tokens` tokens are there, and lets others find them. */
  #computed(id: number, tokens: number, snapshot: number | undefined): void {
    const sequence = this.#sequences.get(id)!;
    const { content, table, computed: before, shares } = sequence;
    sequence.computed = tokens;
    const pages = () => table.pages.slice(0, pagesFor(tokens));
    if (snapshot !== undefined) this.#adopt(sequence, this.#cache.save(content, pages(), tokens, snapshot));
    else if (shares && !this.#options.states && Math.floor(tokens / PAGE) > Math.floor(before / PAGE))
      this.#adopt(sequence, this.#cache.remember(content, pages(), tokens));
  }

  /** Of pages that hold the same, all use the one that came first. */
  #adopt(sequence: Sequence, pages: readonly number[]): void {
    const { table } = sequence;
    for (let i = pages.length - 1; i >= 0; i -= 1) {
      const [own, shared] = [table.pages[i]!, pages[i]!];
      if (own === shared) continue;
      this.#pool.share(shared);
      this.#pool.release(own);
      table.replace(i, shared);
    }
  }
}

/** Seconds after which asking again may help, with so many requests waiting. */
export function retryAfterSeconds(waiting: number): number {
  return Math.min(120, Math.max(1, 2 * (Math.max(0, waiting) + 1)));
}

function remove(list: Sequence[], sequence: Sequence): void {
  list.splice(list.indexOf(sequence), 1);
}
