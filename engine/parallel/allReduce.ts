// The sum over ranks, through memory that their threads share: each writes its own values, waits until all have, and
// adds them up in the order of the ranks. So every rank gets the same bits, and two runs agree. Two areas are used by
// turns: who writes to one again has seen all ranks arrive at the other, and so be done with this one.
import { EngineError } from "../errors.ts";
import { waitForChange } from "./wait.ts";

/** What sums are sent as: bf16 halves the bytes and rounds each rank's part. */
export type Wire = "f32" | "bf16";

/** What the ranks of one model share; plain data that can cross to a worker. */
export interface Meeting {
  readonly ranks: number;
  /** Most values of one sum. */
  readonly capacity: number;
  readonly wire: Wire;
  /** [arrivals so far, 1 + rank that failed or 0] */
  readonly control: SharedArrayBuffer;
  /** [2, ranks, capacity] values. */
  readonly values: SharedArrayBuffer;
}

export interface MeetingOptions {
  ranks: number;
  /** Most values of one sum: hidden size times most tokens of a run. */
  capacity: number;
  wire?: Wire;
}

export function createMeeting({ ranks, capacity, wire = "f32" }: MeetingOptions): Meeting {
  const bytes = 2 * ranks * capacity * (wire === "f32" ? 4 : 2);
  return {
    ...{ ranks, capacity, wire },
    control: new SharedArrayBuffer(8),
    values: new SharedArrayBuffer(bytes),
  };
}

const arrivals = 0;
const failed = 1;

/** Where the time of a rank's sums went, in ms, and how many there were. */
export interface ReduceTimes {
  sums: number;
  waitingMs: number;
  addingMs: number;
}

/** One rank's end. The ranks call `sum` equally often, in the same order and with equally many values. */
export class AllReduce {
  readonly rank: number;
  readonly ranks: number;
  readonly times: ReduceTimes = { sums: 0, waitingMs: 0, addingMs: 0 };
  readonly #meeting: Meeting;
  readonly #control: Int32Array<SharedArrayBuffer>;
  readonly #limitMs: number;
  #calls = 0;

  /** `limitMs`: how long the others may take to arrive. */
  constructor(meeting: Meeting, rank: number, limitMs = 60_000) {
    this.rank = rank;
    this.ranks = meeting.ranks;
    this.#meeting = meeting;
    this.#control = new Int32Array(meeting.control);
    this.#limitMs = limitMs;
  }

  /**
   * values ← Σ over ranks, in place.
   * Errors: device_lost when a rank has failed or does not arrive in time; then for every later call too.
   */
  async sum(values: Float32Array): Promise<void> {
    const { ranks, capacity, wire } = this.#meeting;
    if (values.length > capacity)
      throw new Error(`a sum of ${values.length} values; there is room for ${capacity}`);
    const started = performance.now();
    const areas = Array.from({ length: ranks }, (_, rank) => this.#area(rank, values.length));
    if (wire === "f32") areas[this.rank]!.set(values);
    else toBf16(values, areas[this.rank] as Uint16Array);
    this.#calls += 1;
    const written = performance.now();
    await this.#arrive();
    const arrived = performance.now();
    if (wire === "f32") addUp(areas as Float32Array[], values);
    else addUpBf16(areas as Uint16Array[], values);
    this.times.sums += 1;
    this.times.waitingMs += arrived - written;
    this.times.addingMs += performance.now() - arrived + written - started;
  }

  /** Lets the others know that this rank will not come again. */
  fail(): void {
    Atomics.compareExchange(this.#control, failed, 0, 1 + this.rank);
    Atomics.notify(this.#control, arrivals);
  }

  #area(rank: number, length: number): Float32Array | Uint16Array {
    const { capacity, ranks, wire, values } = this.#meeting;
    const first = ((this.#calls % 2) * ranks + rank) * capacity;
    return wire === "f32"
      ? new Float32Array(values, 4 * first, length)
      : new Uint16Array(values, 2 * first, length);
  }

  /** Resolves once every rank has made as many calls. Counts wrap around; only differences are looked at. */
  async #arrive(): Promise<void> {
    const all = (this.#calls * this.ranks) | 0;
    Atomics.add(this.#control, arrivals, 1);
    Atomics.notify(this.#control, arrivals);
    const until = performance.now() + this.#limitMs;
    for (;;) {
      const here = Atomics.load(this.#control, arrivals);
      const broken = Atomics.load(this.#control, failed);
      if (broken !== 0) throw new EngineError("device_lost", `rank ${broken - 1} of ${this.ranks} failed`);
      if (((here - all) | 0) >= 0) return;
      const left = until - performance.now();
      if (left <= 0) throw this.#late(all - here);
      await waitForChange(this.#control, arrivals, here, left);
    }
  }

  #late(missing: number): EngineError {
    this.fail();
    const text = `${missing} of ${this.ranks} ranks did not come to sum ${this.#calls} in ${this.#limitMs} ms`;
    return new EngineError("device_lost", text);
  }
}

function addUp(areas: readonly Float32Array[], out: Float32Array): void {
  const [first, second, ...rest] = areas;
  if (!second) return;
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
