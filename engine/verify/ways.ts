// Every way that a device has of computing something, held against the reference, and not only those that it would take:
// a kernel that is wrong there is found before a measurement chooses it.
import type { Gpu } from "../gpu/adapter.ts";
import { Tuning, type Question, type Way } from "../gpu/tuning.ts";
import { modes, verifyFolder, type CaseReport, type VerifyOptions } from "./verify.ts";

export interface Round {
  /** The way of each kernel, and format, that has another than in the rounds before; in the first round nothing. */
  readonly ways: Readonly<Record<string, string>>;
  /** Which tolerances judge it: looser ones than were asked for where a way rounds what it multiplies. */
  readonly mode: VerifyOptions["mode"];
  /** To be read before the next round is asked for. Errors: as verifyFolder; a way that does not compile is one. */
  readonly reports: AsyncGenerator<CaseReport>;
}

/** In the first round all is computed as the engine guesses, then each kernel by its next way, until there are no more. */
export async function* verifyEveryWay(
  gpu: Gpu,
  folder: string,
  options: VerifyOptions,
): AsyncGenerator<Round> {
  const guessing = new Guessing();
  yield {
    ways: {},
    mode: options.mode,
    reports: verifyFolder({ ...gpu, tuning: guessing }, folder, options),
  };
  for (let i = 1; i < guessing.most; i += 1) {
    const ways = guessing.numbered(i);
    const mode = modeOf(options.mode, [...ways.values()]);
    const tuned = { ...gpu, tuning: new Following(ways) };
    yield {
      ways: Object.fromEntries([...ways].map(([kernel, { name }]) => [kernel, name])),
      mode,
      reports: verifyFolder(tuned, folder, { ...options, mode }),
    };
  }
}

function modeOf(asked: VerifyOptions["mode"], ways: readonly Way[]): VerifyOptions["mode"] {
  const wanted = ways.map(({ rounds }) => (rounds === "bytes" ? 2 : rounds === "f16" ? 1 : 0));
  return modes[Math.max(modes.indexOf(asked), ...wanted)]!;
}

/** Answers with the guess, and keeps which ways there are. */
class Guessing extends Tuning {
  readonly #seen = new Map<string, Map<string, Way>>();

  override choose<W extends Way>(question: Question, ways: readonly W[]): W {
    const key = kindOf(question);
    const known = this.#seen.get(key) ?? new Map<string, Way>();
    for (const way of ways) if (!known.has(way.name)) known.set(way.name, way);
    this.#seen.set(key, known);
    return ways[0]!;
  }

  /** Of the kernel that has most of them. */
  get most(): number {
    return Math.max(0, ...[...this.#seen.values()].map(({ size }) => size));
  }

  /** The ways number `i`, of kernels that have so many. */
  numbered(i: number): Map<string, Way> {
    const ways = [...this.#seen].map(([kind, known]) => [kind, [...known.values()][i]] as const);
    return new Map(ways.filter((pair): pair is readonly [string, Way] => pair[1] !== undefined));
  }
}

/** Answers with the ways that it was given; with the guess where a shape has none of that name. */
class Following extends Tuning {
  readonly #ways: ReadonlyMap<string, Way>;

  constructor(ways: ReadonlyMap<string, Way>) {
    super();
    this.#ways = ways;
  }

  override choose<W extends Way>(question: Question, ways: readonly W[]): W {
    const wanted = this.#ways.get(kindOf(question))?.name;
    return ways.find(({ name }) => name === wanted) ?? ways[0]!;
  }
}

function kindOf({ kernel, format }: Question): string {
  return `${kernel} ${format}`;
}
