// Answers of the autotune kept from run to run: a file for each adapter and driver in the user's cache folder. Nothing
// that is wrong with it matters: it is ignored, and written anew. Processes may write at once; each adds its answers to
// what is there and puts the whole in place in one step, so that the worst is a measurement made twice.
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { packageRoot } from "../root.ts";
import { cacheFolder } from "./cacheFolder.ts";
import type { DeviceReport } from "./report.ts";
import { hashOf, type Answers } from "./tuning.ts";

export class TuningFile {
  readonly path: string;
  readonly #kernels: string;

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
    try {
      const { kernels, answers } = JSON.parse(readFileSync(this.path, "utf8")) as Record<string, unknown>;
      if (kernels !== this.#kernels || typeof answers !== "object" || answers === null) return {};
      return Object.fromEntries(Object.entries(answers).filter(([, way]) => typeof way === "string"));
    } catch {
      return {};
    }
  }

  /** False where the folder cannot be written: the next start measures again. */
  add(answers: Answers): boolean {
    const fresh = `${this.path}.${process.pid}`;
    const all = { kernels: this.#kernels, answers: { ...this.read(), ...answers } };
    try {
      mkdirSync(dirname(this.path), { recursive: true });
      writeFileSync(fresh, JSON.stringify(all, null, 1));
      renameSync(fresh, this.path);
      return true;
    } catch {
      if (existsSync(fresh)) rmSync(fresh);
      return false;
    }
  }
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
