// Random sequences of load, generate, cancel, fail and unload on an engine of two devices. Whatever happens, every wait
// ends, and in the end the engine still serves a model. A sequence is all in its seed; only how its operations meet is
// the machine's doing.
import { EngineError } from "../../engine/errors.ts";
import { uniform } from "../../engine/reference/random.ts";
import type { Engine, LoadOptions, Model } from "../../engine/serve/types.ts";

export interface Question {
  prompt: number[];
  maxTokens: number;
}

/** The whole answer. */
export async function ask(
  model: Model,
  { prompt, maxTokens }: Question,
  signal: AbortSignal = new AbortController().signal,
): Promise<string> {
  let text = "";
  for await (const event of model.complete({ prompt, options: { temperature: 0, maxTokens } }, signal))
    if (event.type === "content") text += event.text;
  return text;
}

/** To each question, as one device alone gives it. */
export async function answersOf(
  engine: Engine,
  folder: string,
  questions: readonly Question[],
): Promise<string[]> {
  const model = await engine.load(folder, { tensorParallel: 1 });
  const answers: string[] = [];
  for (const question of questions) answers.push(await ask(model, question));
  return answers;
}

/** Where sequences happen. */
export interface Stage {
  folder: string;
  ways: readonly LoadOptions[];
  open(faults: string): Promise<Engine>;
  questions: readonly Question[];
  /** To each question, as one device alone gives it. */
  right: readonly string[];
  /** A wait that takes longer is a deadlock, ms. */
  limitMs: number;
  operations: number;
  /** Of its first lives, most that have a fault. */
  faults: number;
}

/** What can become of a request or a load where devices fail and models go. */
const codes = new Set([
  ...["device_lost", "load_stalled", "out_of_memory", "internal", "cancelled"],
  ...["model_not_found", "model_busy", "shutting_down"],
]);

const kinds = ["lost", "crash", "bug", "memory", "hang"];
const places = [0, 1];

/** Faults of the first lives, each at a random place and time. */
function randomFaults(draw: (below: number) => number, most: number): string {
  const one = (life: number) => {
    const kind = kinds[draw(kinds.length)]!;
    const inLoad = ["read", "compile", "upload"][draw(3)]!;
    const point = ["prefill", "decode", "sum", kind === "hang" ? inLoad : "load"][draw(4)]!;
    const at = 1 + draw({ prefill: 4, decode: 12, sum: 40 }[point] ?? 2);
    return `${kind}@${point}:${at}/${places[draw(2)]}#${life}`;
  };
  return Array.from({ length: draw(most + 1) }, (_, i) => one(i + 1)).join(" ");
}

/** Counts of what happened, by what it was. */
export type Happened = Map<string, number>;

/** One sequence; what was to fail in it. Errors: a wait that does not end, a wrong answer, another error than devices make. */
export async function runSequence(seed: number, stage: Stage, happened: Happened): Promise<string> {
  let drawn = 0;
  const draw = (below: number) => Math.floor(uniform(seed, drawn++) * below);
  const faults = randomFaults(draw, stage.faults);
  const sequence = new Sequence(stage, draw, happened, `seed ${seed}, faults "${faults}"`);
  await sequence.run(faults);
  return faults;
}

class Sequence {
  readonly #stage: Stage;
  readonly #draw: (below: number) => number;
  readonly #happened: Happened;
  readonly #name: string;
  readonly #done: string[] = [];
  readonly #asked: Promise<unknown>[] = [];
  readonly #running: AbortController[] = [];
  readonly #models: Model[] = [];
  #engine!: Engine;

  constructor(stage: Stage, draw: (below: number) => number, happened: Happened, name: string) {
    this.#stage = stage;
    this.#draw = draw;
    this.#happened = happened;
    this.#name = name;
  }

  async run(faults: string): Promise<void> {
    const { open, operations } = this.#stage;
    this.#engine = await this.#within("open", open(faults));
    await this.#load();
    for (let i = 0; i < operations; i += 1) await this.#operation(this.#draw(10));
    await this.#within("the end of all requests", Promise.all(this.#asked));
    await this.#servesAgain();
    await this.#within("close", this.#engine.close());
  }

  async #operation(chance: number): Promise<void> {
    if (chance < 5) this.#ask();
    else if (chance < 6) this.#running[this.#draw(this.#running.length)]?.abort();
    else if (chance < 7) await this.#load();
    else if (chance < 8) await this.#unload();
    else if (chance < 9 && this.#draw(3) === 0) await this.#tried("restart", this.#engine.restart());
    else await this.#tried("turn", new Promise((resolve) => setTimeout(resolve, this.#draw(4))));
  }

  async #load(): Promise<void> {
    const { folder, ways } = this.#stage;
    const model = await this.#tried("load", this.#engine.load(folder, ways[this.#draw(ways.length)]!));
    if (model) this.#models.push(model);
  }

  async #unload(): Promise<void> {
    const [model] = this.#models.splice(this.#draw(this.#models.length), 1);
    if (model) await this.#tried("unload", model.unload({ force: true }));
  }

  /** It goes on beside what follows. */
  #ask(): void {
    const model = this.#models[this.#draw(this.#models.length)];
    const which = this.#draw(this.#stage.questions.length);
    const abort = new AbortController();
    if (!model) return;
    this.#running.push(abort);
    const asked = this.#tried("ask", this.#answered(model, which, abort.signal));
    asked.catch(() => undefined); // awaited at the end, where it is told
    this.#asked.push(asked);
  }

  async #answered(model: Model, which: number, signal: AbortSignal): Promise<void> {
    const text = await ask(model, this.#stage.questions[which]!, signal);
    if (text !== this.#stage.right[which])
      throw this.#wrong(`"${text}" to question ${which}, not "${this.#stage.right[which]}"`);
  }

  /** Faults are of the first lives: sooner or later it answers. */
  async #servesAgain(): Promise<void> {
    for (let tries = 1; ; tries += 1) {
      await this.#within("recovery", this.#engine.settled());
      if (this.#models.length === 0) await this.#load();
      const [model] = this.#models;
      const done =
        model &&
        (await this.#tried(
          "ask",
          this.#answered(model, 0, new AbortController().signal).then(() => true),
        ));
      if (done) return;
      if (model?.state === "failed") this.#models.shift();
      if (tries === 12) throw this.#wrong("no answer any more");
    }
  }

  /** What it gives; undefined where it fails as things fail here. */
  async #tried<T>(what: string, work: Promise<T>): Promise<T | undefined> {
    try {
      const result = await this.#within(what, work);
      this.#count(what, "done");
      return result;
    } catch (error) {
      const code = error instanceof EngineError ? error.code : isInjected(error) ? "internal" : undefined;
      if (code === undefined || !codes.has(code)) throw error;
      this.#count(what, code);
      return undefined;
    }
  }

  #count(what: string, outcome: string): void {
    const key = `${what}: ${outcome}`;
    this.#done.push(key);
    this.#happened.set(key, (this.#happened.get(key) ?? 0) + 1);
  }

  async #within<T>(what: string, work: Promise<T>): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(this.#wrong(`${what} does not end`)), this.#stage.limitMs);
    });
    return Promise.race([work, late]).finally(() => clearTimeout(timer));
  }

  #wrong(what: string): Error {
    const { state, reason } = this.#engine?.health ?? {};
    return new Error(`${this.#name}: ${what}; ${state} ${reason ?? ""}; before: ${this.#done.join(", ")}`);
  }
}

function isInjected(error: unknown): boolean {
  return error instanceof Error && error.message.includes("an injected");
}
