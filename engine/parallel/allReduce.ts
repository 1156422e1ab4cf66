// The sum over ranks, through memory that their threads share: each gives its own values, and takes what all have given,
// added up in the order of the ranks. So every rank gets the same bits, and two runs agree. A rank may give once more
// before it takes, so that one slice of a large sum is copied while another is waited for. Four areas are used by turns:
// who gives slice c has taken c − 2, so all have given c − 2, so all have taken c − 4, whose area it is. Of a slice that is
// large enough, each rank adds up its own segment and all take it from there: N ranks would read it N times else. What is
// gathered goes through the same areas, word by word as it is, whatever sums are sent as.
import { EngineError } from "../errors.ts";
import type { Exchange, SumTimes } from "../gpu/pass.ts";
import { waitForChange } from "./wait.ts";

/** What sums are sent as: bf16 halves the bytes and rounds each rank's part. */
export type Wire = "f32" | "bf16";

/** What the ranks of one model share; plain data that can cross to a worker. */
export interface Meeting {
  readonly ranks: number;
  /** Most values of a slice. */
  readonly slice: number;
  readonly wire: Wire;
  /** [bell, 1 + rank that failed or 0, slices that each rank has given, slices that it has added up its segment of] */
  readonly control: SharedArrayBuffer;
  /** [areas, slice] f32, added up. */
  readonly sums: SharedArrayBuffer;
  /** [areas, ranks, slice] values, each slice filled up to whole words. */
  readonly values: SharedArrayBuffer;
}

export interface MeetingOptions {
  ranks: number;
  /** Most values of one sum: hidden size times most tokens of a run. */
  capacity: number;
  wire?: Wire;
  /** Most values of a slice; default: sliceFor. */
  slice?: number;
}

const areas = 4;
/** Values of a slice of a large sum: enough for its copy to cost more than its rendezvous, few enough to overlap. */
const mostOfSlice = 1 << 17;

export function sliceFor(capacity: number): number {
  return Math.min(capacity, mostOfSlice);
}

export function createMeeting({ ranks, capacity, wire = "f32", ...options }: MeetingOptions): Meeting {
  const { slice = sliceFor(capacity) } = options;
  return {
    ...{ ranks, slice, wire },
    control: new SharedArrayBuffer(4 * (2 + 2 * ranks)),
    sums: new SharedArrayBuffer(areas * slice * 4),
    values: new SharedArrayBuffer(4 * areas * ranks * wordsOf(slice, wire)),
  };
}

/** Of 32 bits, of a slice. */
function wordsOf(slice: number, wire: Wire): number {
  return wire === "f32" ? slice : Math.ceil(slice / 2);
}

/** Words of the control: every change of another rings the bell. */
const [bell, failed, given] = [0, 1, 2];

/** One rank's end. The ranks give equally often, in the same order and equally many values, and take each once. */
export class AllReduce implements Exchange {
  readonly rank: number;
  readonly ranks: number;
  readonly slice: number;
  readonly times: SumTimes = { sums: 0, computingMs: 0, readbackMs: 0, waitingMs: 0, reducingMs: 0 };
  readonly #meeting: Meeting;
  readonly #control: Int32Array<SharedArrayBuffer>;
  readonly #limitMs: number;
  #given = 0;
  #taken = 0;

  /** `limitMs`: how long another may be waited for. */
  constructor(meeting: Meeting, rank: number, limitMs = 60_000) {
    this.rank = rank;
    this.ranks = meeting.ranks;
    this.slice = meeting.slice;
    this.#meeting = meeting;
    this.#control = new Int32Array(meeting.control);
    this.#limitMs = limitMs;
  }

  give(values: Float32Array): void {
    if (values.length > this.slice)
      throw new Error(`a slice of ${values.length} values; there is room for ${this.slice}`);
    if (this.#given - this.#taken > 1) throw new Error("a third slice before the first was taken");
    const own = this.#area(this.rank, this.#given, values.length);
    if (own instanceof Float32Array) own.set(values);
    else toBf16(values, own);
    this.#countGiven();
  }

  /** Errors: as of `take`. */
  async gather(own: Uint32Array, lengths: readonly number[]): Promise<Uint32Array<ArrayBuffer>[]> {
    const room = wordsOf(this.slice, this.#meeting.wire);
    const all = lengths.map((length) => new Uint32Array(length));
    for (let from = 0; from < Math.max(...lengths); from += room) {
      this.#words(this.rank, this.#given).set(own.subarray(from, from + room));
      this.#countGiven();
      await this.#wait(given);
      for (const [rank, words] of all.entries())
        words
          .subarray(from)
          .set(this.#words(rank, this.#taken).subarray(0, Math.max(0, words.length - from)));
      this.#taken += 1;
    }
    return all;
  }

  #countGiven(): void {
    this.#given += 1;
    Atomics.store(this.#control, given + this.rank, this.#given | 0);
    this.#ring();
  }

  /** Errors: device_lost when a rank has failed or does not come in time; then for every later call too. */
  async take(out: Float32Array): Promise<void> {
    await this.#wait(given);
    const begun = performance.now();
    if (inSegments(this.ranks, out.length)) await this.#takeSegments(out);
    else this.#addUp(out, 0);
    this.#taken += 1;
    this.times.reducingMs += performance.now() - begun;
  }

  /** Adds up this rank's segment, and takes the others'. */
  async #takeSegments(out: Float32Array): Promise<void> {
    const sum = new Float32Array(this.#meeting.sums, 4 * this.slice * (this.#taken % areas), out.length);
    const [from, to] = [this.rank, this.rank + 1].map((n) => Math.floor((n * out.length) / this.ranks));
    this.#addUp(sum.subarray(from, to), from!);
    Atomics.store(this.#control, given + this.ranks + this.rank, (this.#taken + 1) | 0);
    this.#ring();
    const waited = await this.#wait(given + this.ranks);
    out.set(sum);
    this.times.reducingMs -= waited;
  }

  /** out ← Σ over ranks of the slice that is to be taken, from its value `from` on. */
  #addUp(out: Float32Array, from: number): void {
    const parts = Array.from({ length: this.ranks }, (_, rank) =>
      this.#area(rank, this.#taken, from + out.length).subarray(from),
    );
    if (this.#meeting.wire === "f32") addUp(parts as Float32Array[], out);
    else addUpBf16(parts as Uint16Array[], out);
  }

  /** Lets all know that a rank, this one unless another is named, will not come again. */
  fail(rank = this.rank): void {
    Atomics.compareExchange(this.#control, failed, 0, 1 + rank);
    this.#ring();
  }

  #area(rank: number, call: number, length: number): Float32Array | Uint16Array {
    const { buffer, byteOffset } = this.#words(rank, call);
    if (this.#meeting.wire === "f32") return new Float32Array(buffer, byteOffset, length);
    return new Uint16Array(buffer, byteOffset, length);
  }

  /** The whole area of a rank. */
  #words(rank: number, call: number): Uint32Array {
    const { slice, ranks, wire, values } = this.#meeting;
    const words = wordsOf(slice, wire);
    return new Uint32Array(values, 4 * words * ((call % areas) * ranks + rank), words);
  }

  #ring(): void {
    Atomics.add(this.#control, bell, 1);
    Atomics.notify(this.#control, bell);
  }

  /** Until all ranks have counted the slice that is to be taken, in the words from `first` on; how long it took, ms. */
  async #wait(first: number): Promise<number> {
    const begun = performance.now();
    const until = begun + this.#limitMs;
    for (;;) {
      const heard = Atomics.load(this.#control, bell); // ahead of what it tells of, so that no change is missed
      const broken = Atomics.load(this.#control, failed);
      if (broken !== 0) throw this.#broken(broken - 1);
      const missing = this.#missing(first);
      if (missing === undefined) break;
      const left = until - performance.now();
      if (left <= 0) {
        this.fail(missing);
        const text = `rank ${missing} of ${this.ranks} did not come to the meeting behind sum ${this.times.sums} in ${this.#limitMs} ms`;
        throw new EngineError("device_lost", text, { failedRank: missing });
      }
      await waitForChange(this.#control, bell, heard, left);
    }
    const waited = performance.now() - begun;
    this.times.waitingMs += waited;
    return waited;
  }

  /** A rank that has not counted what is to be taken. Counts wrap around; only differences are looked at. */
  #missing(first: number): number | undefined {
    for (let rank = 0; rank < this.ranks; rank += 1)
      if (((Atomics.load(this.#control, first + rank) - this.#taken) | 0) <= 0) return rank;
    return undefined;
  }

  #broken(rank: number): EngineError {
    return new EngineError("device_lost", `rank ${rank} of ${this.ranks} failed`, { failedRank: rank });
  }
}

/** Whether a second rendezvous costs less than what it spares in reading (bench/LOG.md). */
function inSegments(ranks: number, length: number): boolean {
  return (ranks - 1) * length >= 1 << 15;
}

function addUp(areas: readonly Float32Array[], out: Float32Array): void {
  const [first, second, ...rest] = areas;
  if (!second) return out.set(first!);
  for (let i = 0; i < out.length; i += 1) out[i] = first![i]! + second[i]!;
  for (const area of rest) for (let i = 0; i < out.length; i += 1) out[i]! += area[i]!;
}

function addUpBf16(areas: readonly Uint16Array[], out: Float32Array): void {
  out.fill(0);
  for (const area of areas) for (let i = 0; i < out.length; i += 1) out[i]! += fromBf16(area[i]!);
}

const word = new Uint32Array(1);
const float = new Float32Array(word.buffer);

function fromBf16(half: number): number {
  word[0] = half << 16;
  return float[0]!;
}

/** Rounded to nearest, ties to even; a NaN stays one. */
function toBf16(values: Float32Array, out: Uint16Array): void {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < bits.length; i += 1) {
    const all = bits[i]!;
    const isNaN = (all & 0x7fffffff) > 0x7f800000;
    out[i] = isNaN ? (all >>> 16) | 0x40 : (all + 0x7fff + ((all >>> 16) & 1)) >>> 16;
  }
}
