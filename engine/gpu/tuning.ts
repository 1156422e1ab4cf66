// Which of several equal ways to compute something suits a device. Ops ask with the shape and the ways that they have,
// the best guess first; the answer is what was measured here (autotune.ts), or on such a device before, or the guess.
import { createHash } from "node:crypto";

/** A shape for which ops have several ways. */
export type Question = ProductQuestion | AttentionQuestion | DeltaQuestion;

/** x · Wᵀ, x: [T, K], W: [N, K]. */
export interface ProductQuestion {
  /** What is computed, and how the ways differ: "matvec", "matvec normed", "matmul". */
  readonly kernel: string;
  readonly format: string;
  readonly K: number;
  readonly N: number;
  readonly T: number;
}

/** T tokens over the keys and values of a cache in this format. */
export interface AttentionQuestion {
  readonly kernel: "attention" | "attention split";
  readonly format: string;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Of the longest sequence, where the ways depend on it. */
  readonly keys?: number;
  readonly T: number;
}

/** The delta rule of T tokens by chunks, between its convolution and its norm. */
export interface DeltaQuestion {
  readonly kernel: "delta";
  readonly format: "f32";
  readonly keyHeads: number;
  readonly valueHeads: number;
  readonly keyDim: number;
  readonly valueDim: number;
  readonly T: number;
}

/** One of several to compute the same. */
export interface Way {
  readonly name: string;
  /** What it rounds to before it multiplies; default: nothing is lost. */
  readonly rounds?: "f16" | "bytes";
}

/** A question that nothing is known of, and the names of its ways. */
export interface Open {
  readonly question: Question;
  readonly ways: readonly string[];
}

export interface TuningOptions {
  /**
   * The ways that the engine knows, whatever the device: no choice that was measured, nothing in fewer bits than the
   * weights have, no sum whose order depends on how many tokens run.
   */
  strict?: boolean | undefined;
  /** Measure what is not known; default: on hardware. False: use no measurement made on this host. */
  autotune?: boolean | undefined;
}

/** Names of ways, by the keys of questions. */
export type Answers = Readonly<Record<string, string>>;

/** What is known of a device before, and where what is found out goes. */
export interface Known {
  measured?: Answers;
  shipped?: Answers;
  /** Ways that the device has not survived, by attemptOf: they are neither taken nor measured. */
  deadly?: ReadonlySet<string>;
  save?: (answers: Answers) => void;
  /** Keeps which ways are being tried, by attemptOf, in case that this is the last that is heard. */
  attempt?: (attempts: readonly string[]) => void;
}

export class Tuning {
  readonly strict: boolean;
  /** Whether questions without an answer are to be measured. */
  readonly searching: boolean;
  readonly #answers: Map<string, string>;
  readonly #shipped: Answers;
  readonly #open = new Map<string, Open>();
  readonly #known: Known;

  constructor({ strict = false, autotune = false }: TuningOptions = {}, known: Known = {}) {
    this.strict = strict;
    this.searching = autotune && !strict;
    this.#answers = new Map(this.searching ? Object.entries(known.measured ?? {}) : []);
    this.#shipped = strict ? {} : (known.shipped ?? {});
    this.#known = known;
  }

  /** The way to take; the first of `ways` where nothing is known. */
  choose<W extends Way>(question: Question, all: readonly W[]): W {
    const key = keyOf(question);
    const { deadly } = this.#known;
    const ways = deadly
      ? all.filter(({ name }, i) => i === 0 || !deadly.has(attemptOf(question, name)))
      : all;
    const named = (name: string | undefined) => ways.find((way) => way.name === name);
    const measured = named(this.#answers.get(key));
    if (!measured && this.searching && ways.length > 1)
      this.#open.set(key, { question, ways: ways.map(({ name }) => name) });
    return measured ?? named(this.#shipped[key] ?? this.#shipped[anyShape(question)]) ?? ways[0]!;
  }

  /** The questions so far that want measuring. */
  get open(): readonly Open[] {
    return [...this.#open.values()];
  }

  /** Keeps what was measured; what is still open then is asked again when it is needed again. */
  learn(found: ReadonlyMap<string, string>): void {
    this.#open.clear();
    for (const [key, way] of found) this.#answers.set(key, way);
    if (found.size > 0) this.#known.save?.(Object.fromEntries(found));
  }

  /** Notes which ways of a question are tried next for the first time. */
  trying(question: Question, ways: readonly string[]): void {
    this.#known.attempt?.(ways.map((way) => attemptOf(question, way)));
  }

  /** A tuning that answers everything with one way: how that way is measured. */
  static only(name: string): Tuning {
    const tuning = new Tuning();
    tuning.choose = (_, ways) => ways.find((way) => way.name === name) ?? ways[0]!;
    return tuning;
  }
}

export function keyOf(question: Question): string {
  const { kernel, format, T } = question;
  return `${kernel} ${format} ${shapeOf(question)}${T > 1 ? ` ${T} tokens` : ""}`;
}

/** Of all shapes: what a driver does not survive in one, it does not survive in the next either. */
export function attemptOf({ kernel }: Question, way: string): string {
  return `${kernel}: ${way}`;
}

function shapeOf(question: Question): string {
  if (asksAttention(question)) {
    const { heads, kvHeads, headDim, keys } = question;
    return `${heads}:${kvHeads}x${headDim}${keys === undefined ? "" : ` of ${keys}`}`;
  }
  if (!asksDelta(question)) return `${question.K}x${question.N}`;
  const { keyHeads, valueHeads, keyDim, valueDim } = question;
  return `${keyHeads}:${valueHeads}x${keyDim}:${valueDim}`;
}

export function asksAttention(question: Question): question is AttentionQuestion {
  return "headDim" in question;
}

export function asksDelta(question: Question): question is DeltaQuestion {
  return "keyDim" in question;
}

/** The key of an answer that holds for all shapes. */
function anyShape({ kernel, format }: Question): string {
  return `${kernel} ${format} *`;
}

/** What answers depend on besides the device: a change of any kernel makes them worthless. */
export function hashOf(texts: readonly string[]): string {
  const hash = createHash("sha256");
  for (const text of texts) hash.update(text).update("\0");
  return hash.digest("hex").slice(0, 16);
}
