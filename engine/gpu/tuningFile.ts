// Answers of the autotune kept from run to run: a file for each adapter and driver in the user's cache folder, and in it
// what was being tried when a device or a process came to its end. Nothing that is wrong with it matters: it is ignored,
// and written anew. Processes may write at once; each adds its answers to what is there and puts the whole in place in
// one step, so that the worst is a measurement made twice.
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { packageRoot } from "../root.ts";
import { cacheFolder } from "./cacheFolder.ts";
import type { DeviceReport } from "./report.ts";
import { hashOf, type Answers } from "./tuning.ts";

interface Contents {
  readonly answers: Answers;
  /** How often a way was begun and not survived, by attemptOf; what is being tried counts. */
  readonly trying: Readonly<Record<string, number>>;
}

const nothing: Contents = { answers: {}, trying: {} };
/** The first time it may have been something else. */
const deadlyTimes = 2;

export class TuningFile {
  readonly path: string;
  readonly #kernels: string;
  /** What this process is trying. */
  #trying: readonly string[] = [];

  /** `kernels`: a hash of what the answers were measured with. */
  constructor(path: string, kernels: string) {
    this.path = path;
    this.#kernels = kernels;
  }

  /** Of this adapter under this driver, with this program's kernels. */
  static of({ name, driver, backend }: DeviceReport): TuningFile {
    const file = `${hashOf([name, driver, backend])}.json`;
    return new TuningFile(join(cacheFolder(), "autotune", file), kernelsHash());
  }

  read(): Answers {
    return this.#contents().answers;
  }

  /** Ways that ended a device or a process more than once. */
  deadly(): ReadonlySet<string> {
    const tried = Object.entries(this.#contents().trying);
    return new Set(tried.filter(([, times]) => times >= deadlyTimes).map(([attempt]) => attempt));
  }

  /** False where the folder cannot be written: the next start measures again. */
  add(answers: Answers): boolean {
    const { answers: before, trying } = this.#contents();
    return this.#write({ answers: { ...before, ...answers }, trying });
  }

  /** What is tried from now on; what this process tried before was survived. */
  attempt(attempts: readonly string[]): void {
    const { answers, trying } = this.#contents();
    const times = new Map(Object.entries(trying));
    for (const one of this.#trying) times.set(one, (times.get(one) ?? 1) - 1);
    for (const one of attempts) times.set(one, (times.get(one) ?? 0) + 1);
    this.#trying = attempts;
    this.#write({ answers, trying: Object.fromEntries([...times].filter(([, count]) => count > 0)) });
  }

  #contents(): Contents {
    try {
      const { kernels, answers, trying } = JSON.parse(readFileSync(this.path, "utf8")) as Record<
        string,
        unknown
      >;
      if (kernels !== this.#kernels) return nothing;
      return { answers: valuesOf(answers, "string"), trying: valuesOf(trying, "number") } as Contents;
    } catch {
      return nothing;
    }
  }

  #write({ answers, trying }: Contents): boolean {
    const fresh = `${this.path}.${process.pid}`;
    const tried = Object.keys(trying).length > 0 ? { trying } : {};
    try {
      mkdirSync(dirname(this.path), { recursive: true });
      writeFileSync(fresh, JSON.stringify({ kernels: this.#kernels, answers, ...tried }, null, 1));
      renameSync(fresh, this.path);
      return true;
    } catch {
      if (existsSync(fresh)) rmSync(fresh);
      return false;
    }
  }
}

/** The entries of a record that have such values; none of what is no record. */
function valuesOf(record: unknown, type: "string" | "number"): Record<string, unknown> {
  return Object.fromEntries(Object.entries(record ?? {}).filter(([, value]) => typeof value === type));
}

let hash: string | undefined;

function kernelsHash(): string {
  const folder = join(packageRoot, "shaders");
  hash ??= hashOf(
    (readdirSync(folder, { recursive: true }) as string[])
      .filter((file) => file.endsWith(".wgsl"))
      .sort()
      .flatMap((file) => [file, readFileSync(join(folder, file), "utf8")]),
  );
  return hash;
}
