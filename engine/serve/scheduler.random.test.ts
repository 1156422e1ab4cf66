// Thousands of random histories of arrivals, ends, cancellations, failures and preemptions, each on a simulated device
// whose every token depends on all of its sequence's memory.
import { describe, expect, test, vi } from "vitest";
import { EngineError } from "../errors.ts";
import type { ImageSpan } from "../models/mrope.ts";
import type { Picture } from "./content.ts";
import { PAGE, pagesFor } from "./pages.ts";
import { PrefixCache } from "./prefix.ts";
import {
  Scheduler,
  type Drawn,
  type Ended,
  type SchedulerOptions,
  type SequenceRequest,
  type Step,
} from "./scheduler.ts";
import { expectedAnswer, SimulatedDevice, vocabulary, type Forgotten } from "./simulated.fixture.ts";

interface Mistakes {
  forget?: Forgotten;
  /** All pictures have the same hash. */
  oneHash?: boolean;
}

type Said = Pick<SequenceRequest, "prompt" | "pictures">;

/** What happened, so that a test can say that it did. */
type Seen = Record<
  | Ended["reason"]
  | Step["copies"][number]["kind"]
  | "preempted"
  | "queue_full"
  | "rate_limit_exceeded"
  | "reused"
  | "ahead"
  | "beyond"
  | "snapshots"
  | "rewritten",
  number
>;

class History {
  readonly seen: Partial<Seen> = {};
  readonly #random: (n: number) => number;
  readonly #mistakes: Mistakes;
  readonly #options: SchedulerOptions;
  readonly #scheduler: Scheduler;
  readonly #answering = new Map<number, SequenceRequest>();
  readonly #drawn = new Map<number, number[]>();
  readonly #ended = new Map<number, Ended>();
  /** Have drawn a token since they got their slot: must be in every step from then on. */
  readonly #streaming = new Set<number>();
  /** Ids are given in the order of arrival. */
  readonly #queue = new Set<number>();
  readonly #texts: { tokens: number[]; pictures: Picture[] }[];
  #device: SimulatedDevice;
  /** Turns that may be planned before those ahead of them are done. */
  readonly #depth: number;
  /** Short prompts with long answers: what makes pages run out. */
  readonly #short: boolean;
  readonly #inFamilies: boolean;
  readonly #families = new Map<number, Said & { family: number }>();
  #ids = 0;
  #closed = false;

  /** `families`: all requests are answers of families, most of them to less than a page. */
  constructor(seed: number, mistakes: Mistakes = {}, families = false) {
    this.#random = randomOf(seed);
    this.#mistakes = mistakes;
    this.#inFamilies = families;
    this.#short = this.#random(3) === 0;
    this.#depth = seed % 4;
    this.#options = this.#randomOptions();
    this.#scheduler = new Scheduler(this.#options);
    this.#device = this.#newDevice();
    this.#texts = Array.from({ length: 3 }, () => this.#randomText());
  }

  play(turns: number): this {
    for (let turn = 0; turn < turns; turn += 1) {
      this.#disturb();
      this.#turn();
    }
    this.#closed = true;
    // Nobody starves: what is left ends in as many turns as it would have alone, one after another.
    const alone = [...this.#answering.values()].reduce(
      (sum, request) => sum + Math.ceil(request.prompt.length / this.#options.chunk) + 7 + request.maxTokens,
      0,
    );
    for (let turn = 0; this.#scheduler.busy; turn += 1) {
      check(turn < 2 * alone + 10, "somebody starves");
      this.#turn();
    }
    this.#checkEnd();
    return this;
  }

  /** A turn, and some that are planned before it is done. */
  #turn(): void {
    const flights = [this.#run(this.#scheduler.next())];
    this.#checkStep(flights[0]!.step);
    while (flights.length > 0) {
      const device = this.#device;
      while (flights.length <= this.#depth) {
        const step = this.#scheduler.ahead();
        if (!step) break;
        this.#count("ahead");
        flights.push(this.#run(step));
      }
      if (this.#random(3) === 0) this.#disturb();
      if (device !== this.#device) return; // it failed meanwhile
      this.#land(flights.shift()!);
    }
  }

  #run(step: Step): { step: Step; drawn: Drawn[] } {
    this.#end(step.ended);
    const drawn = this.#device.run(step);
    this.#checkPages();
    return { step, drawn };
  }

  #land({ drawn }: { drawn: Drawn[] }): void {
    const here = drawn.filter(({ sequence }) => !this.#ended.has(sequence));
    this.#count("beyond", drawn.length - here.length);
    for (const { sequence, token } of here) {
      this.#drawn.get(sequence)!.push(token);
      this.#streaming.add(sequence);
    }
    const ended = this.#scheduler.done(drawn);
    for (const { sequence } of ended) this.#device.leave(sequence);
    this.#end(ended);
  }

  #disturb(): void {
    if (this.#closed) return;
    const what = this.#random(20);
    if (what < 7) this.#arrive();
    if (what === 7 || what === 8) this.#scheduler.cancel(this.#random(this.#ids + 1));
    if (what === 9 && this.#random(12) === 0) this.#fail();
  }

  #arrive(): void {
    const text = this.#texts[this.#random(this.#texts.length)]!;
    const request = this.#randomRequest(text);
    try {
      this.#scheduler.admit(request);
    } catch (error) {
      if (!(error instanceof EngineError)) throw error;
      this.#count(error.code as "queue_full");
      return;
    }
    this.#answering.set(request.id, request);
    this.#drawn.set(request.id, []);
    this.#queue.add(request.id);
    // A turn later the conversation goes on from what was asked, and another from there as well.
    const longer = [...request.prompt, vocabulary.special, this.#random(9)];
    if (longer.length < this.#options.contextLength && this.#random(3) === 0)
      this.#texts.push({ tokens: longer, pictures: [...request.pictures!] });
  }

  #fail(): void {
    const which = this.#random(2) === 0 ? "all" : "running";
    this.#end(this.#scheduler.fail(which));
    const { running, waiting, pages, prefix } = this.#scheduler.stats;
    expect([running, pages.used, pages.idle, prefix.pages, prefix.snapshots]).toEqual([0, 0, 0, 0, 0]);
    if (which === "all") expect(waiting).toBe(0);
    this.#device = this.#newDevice();
  }

  #end(ended: readonly Ended[]): void {
    for (const one of ended) {
      check(!this.#ended.has(one.sequence), "somebody ends twice");
      this.#ended.set(one.sequence, one);
      this.#streaming.delete(one.sequence);
      this.#queue.delete(one.sequence);
      this.#count(one.reason);
    }
  }

  #checkStep(step: Step): void {
    const { chunk } = this.#options;
    for (const sequence of step.preempted) {
      this.#streaming.delete(sequence);
      this.#queue.add(sequence);
    }
    for (const { sequence } of step.started) {
      check(sequence === Math.min(...this.#queue), `sequence ${sequence} overtakes`);
      this.#queue.delete(sequence);
    }
    this.#count("preempted", step.preempted.length);
    this.#count("reused", step.started.filter(({ from }) => from > 0).length);
    this.#count(
      "rewritten",
      step.tables.filter(({ first, pages }) => pages.length > 1 && first === 0).length,
    );
    for (const { kind } of step.copies) this.#count(kind);
    if (step.prefill?.snapshot !== undefined) this.#count("snapshots");
    const decoding = step.decode.map(({ sequence }) => sequence);
    for (const sequence of this.#streaming)
      check(decoding.includes(sequence), `running answer ${sequence} does not go on`);
    check(new Set(step.decode.map(({ slot }) => slot)).size === decoding.length, "two rows of a slot");
    if (step.prefill) check(step.prefill.to - step.prefill.from <= chunk, "a long prefill");
    const fresh = step.preempted.length === 0 && step.started.every(({ from }) => from === 0);
    if (this.#options.strict) check(fresh, "others change how a sequence is computed");
    if (this.#scheduler.busy) check(decoding.length > 0 || step.prefill !== undefined, "nothing is done");
  }

  /** Used pages are exactly those that the tables of running sequences name. */
  #checkPages(): void {
    const { pages } = this.#scheduler.stats;
    const named = new Set([...this.#device.slots.values()].flatMap(({ table }) => table));
    check(pages.used === named.size, `${pages.used} pages are used, tables name ${named.size}`);
    check(pages.used + pages.idle + pages.free === this.#options.pages, "pages are lost");
  }

  #checkEnd(): void {
    const { running, waiting, pages, prefix } = this.#scheduler.stats;
    expect([running, waiting, pages.used]).toEqual([0, 0, 0]);
    expect(pages.idle).toBe(prefix.pages);
    if (!this.#options.prefixCache) expect(pages.free).toBe(this.#options.pages);
    for (const [id, request] of this.#answering) {
      const ended = this.#ended.get(id)!;
      const drawn = this.#drawn.get(id)!;
      const wanted = expectedAnswer(request, {
        hybrid: this.#options.states,
        contextLength: this.#options.contextLength,
      });
      const whole = ended.reason === "stop" || ended.reason === "length";
      const right = String(drawn) === String(whole ? wanted : wanted.slice(0, drawn.length));
      check(right, `sequence ${id}, ${ended.reason}: ${drawn}, expected ${wanted}`);
      check(ended.usage.completionTokens === drawn.length, "usage");
    }
  }

  #count(what: keyof Seen, by = 1): void {
    this.seen[what] = (this.seen[what] ?? 0) + by;
  }

  #newDevice(): SimulatedDevice {
    return new SimulatedDevice(this.#options.states, this.#answering, this.#mistakes.forget);
  }

  #randomOptions(): SchedulerOptions {
    const contextLength = 70 + this.#random(400);
    const states = this.#random(2) === 0;
    return {
      slots: 1 + this.#random(6),
      pages: pagesFor(contextLength) + this.#random(this.#random(2) === 0 ? 4 : 2 * pagesFor(contextLength)),
      contextLength,
      chunk: PAGE * (1 + this.#random(3)),
      maxQueue: this.#random(6),
      maxPerPrincipal: this.#random(3) === 0 ? 2 : Infinity,
      states,
      prefixCache: this.#random(4) > (this.#inFamilies ? 2 : 0),
      snapshots: states ? this.#random(7) : 0,
      specialTokens: [vocabulary.special],
      strict: this.#random(4) === 0,
    };
  }

  #randomText(): { tokens: number[]; pictures: Picture[] } {
    const tokens = Array.from({ length: this.#options.contextLength }, () =>
      this.#random(30) === 0 ? vocabulary.special : this.#random(6),
    );
    return { tokens, pictures: [] };
  }

  #randomRequest(text: { tokens: number[]; pictures: Picture[] }): SequenceRequest {
    const { contextLength } = this.#options;
    // Few places to part at, so that many prompts are alike up to there.
    const kept =
      this.#random(2) === 0 ? text.tokens.length : Math.min(text.tokens.length, 30 * this.#random(9));
    const prompt = text.tokens.slice(0, kept);
    // The same words are also said of other pictures.
    const pictures = text.pictures
      .filter(({ at, rows, columns }) => at + rows * columns <= kept)
      .map((picture) => this.#picture(picture));
    if (this.#random(4) === 0) {
      const [rows, columns] = [1 + 7 * this.#random(2), 10 + this.#random(2)];
      pictures.push(this.#picture({ at: prompt.length, rows, columns }));
      for (let i = 0; i < rows * columns; i += 1) prompt.push(vocabulary.picture);
    }
    const tail = this.#random(30);
    for (let i = 0; i < tail; i += 1)
      prompt.push(this.#random(30) === 0 ? vocabulary.special : this.#random(6));
    const length = Math.max(1, Math.min(prompt.length, contextLength - 1 - this.#random(9)));
    const whole = pictures.filter(({ at, rows, columns }) => at + rows * columns <= length);
    const principal = this.#random(3);
    const said = {
      prompt: [...prompt.slice(0, length), ...(prompt.length === 0 ? [5] : [])],
      pictures: whole,
    };
    return {
      id: (this.#ids += 1),
      ...(principal === 0 ? {} : { principal: `principal ${principal}` }),
      maxTokens: 1 + this.#random(this.#short ? 300 : this.#random(3) === 0 ? 150 : 20),
      ...(this.#inFamilies || this.#random(5) === 0 ? this.#inFamily(said) : said),
    };
  }

  /** The prompt of a family is that of its first. */
  #inFamily(said: Said): Said {
    const family = this.#random(3);
    const first = this.#inFamilies ? this.#shortened(said) : said;
    const known = this.#families.get(family) ?? { ...first, family };
    this.#families.set(family, known);
    return known;
  }

  #shortened({ prompt }: Said): Said {
    return { prompt: prompt.slice(0, 1 + this.#random(PAGE + 9)), pictures: [] };
  }

  #picture({ at, rows, columns }: ImageSpan): Picture {
    const pixels = `picture ${this.#random(2)}`;
    const picture = { at, rows, columns, hash: this.#mistakes.oneHash ? "a hash" : pixels, pixels };
    return picture;
  }
}

/** What `expect` would say, at the speed that thousands of histories need. */
function check(right: boolean, wrong: string): void {
  if (!right) throw new Error(wrong);
}

/** Numbers below n, the same for the same seed (mulberry32). */
function randomOf(seed: number): (n: number) => number {
  let state = seed >>> 0;
  return (n) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % n;
  };
}

/** Plays histories of these seeds; adds up what was seen. */
function playAll(
  from: number,
  count: number,
  turns: number,
  mistakes: Mistakes = {},
  families = false,
): Partial<Seen> {
  const total: Partial<Seen> = {};
  for (let seed = from; seed < from + count; seed += 1) {
    try {
      const { seen } = new History(seed, mistakes, families).play(turns);
      for (const [what, times] of Object.entries(seen) as [keyof Seen, number][])
        total[what] = (total[what] ?? 0) + times;
    } catch (error) {
      throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error });
    }
  }
  return total;
}

describe("random histories", () => {
  test("every answer is that of its own tokens, nothing leaks, nobody starves", { timeout: 240_000 }, () => {
    const seen = playAll(1, 2000, 20);
    const wanted: (keyof Seen)[] = [
      ...([
        "stop",
        "length",
        "cancelled",
        "failed",
        "preempted",
        "reused",
        "snapshots",
        "ahead",
        "beyond",
      ] as const),
      ...(["page", "clear", "restore", "queue_full", "rate_limit_exceeded"] as const),
    ];
    for (const what of wanted) expect(seen[what], what).toBeGreaterThan(20);
  });

  test.each(["page", "clear", "restore", "table", "snapshot"] as const)(
    "a device that forgets a %s is noticed",
    (forget) => {
      expect(() => playAll(1, 300, 40, { forget })).toThrow(/seed/);
    },
  );

  test("answers to one prompt leave nothing behind, however short it is", { timeout: 240_000 }, () => {
    const seen = playAll(1, 1500, 20, {}, true);
    const wanted: (keyof Seen)[] = ["stop", "length", "cancelled", "failed", "preempted", "page", "restore"];
    for (const what of wanted) expect(seen[what], what).toBeGreaterThan(20);
    const { forget } = PrefixCache.prototype;
    vi.spyOn(PrefixCache.prototype, "forget").mockImplementation(function (this: PrefixCache, content) {
      if (content.tokens.length >= PAGE) forget.call(this, content);
    });
    expect(() => playAll(1, 300, 20, {}, true), "short ones are not forgotten").toThrow(/seed/);
    vi.restoreAllMocks();
  });

  test("pictures of one hash are taken for each other", () => {
    expect(() => playAll(1, 300, 40, { oneHash: true })).toThrow(/sequence .*, (stop|length)/);
  });
});
