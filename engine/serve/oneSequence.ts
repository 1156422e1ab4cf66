// One sequence in a runner, fed by hand: what benchmarks and tests of a model need, without a step loop.
import type { FedPicture } from "./entrance.ts";
import { createFeed } from "./entrance.ts";
import { pagesFor } from "./pages.ts";
import type { DrawWant, Outcome, Runner, Want } from "./runner.ts";

type Wanted = Exclude<Want, DrawWant>;

export class Sequence {
  readonly #runner: Runner;
  readonly #slot: number;
  readonly #chunk: number;
  #length = 0;
  #delta = 0;

  /** `chunk`: most tokens of a run, no more than the runner's own. */
  constructor(runner: Runner, { slot = 0, chunk = 256 } = {}) {
    this.#runner = runner;
    this.#slot = slot;
    this.#chunk = chunk;
    runner.copy({ kind: "clear", slot });
    runner.tell({ slot, first: 0, pages: ownPages(runner, slot) });
  }

  get length(): number {
    return this.#length;
  }

  /** A prompt; what follows its last token: its id, or all logits. */
  async prompt(
    ids: readonly number[],
    want: Wanted,
    pictures: readonly FedPicture[] = [],
  ): Promise<number | Float32Array | undefined> {
    if (this.#length > 0) throw new Error("a prompt behind other tokens");
    const feed = createFeed(ids, pictures, 0);
    let outcome: Outcome;
    for (let from = 0; from < ids.length; from += this.#chunk) {
      const to = Math.min(from + this.#chunk, ids.length);
      const run = { slot: this.#slot, feed, from, to, want: to === ids.length ? want : "nothing" } as const;
      outcome = (await this.#runner.turn([], run)).prefilled;
    }
    this.#length = ids.length;
    this.#delta = feed.delta;
    return idOrLogits(outcome);
  }

  /** The place of one more token, which moves the sequence on; undefined: the one that was drawn last. */
  next(id: number | undefined, want: Wanted) {
    const row = this.#length;
    this.#length += 1;
    return { id, slot: this.#slot, row, position: row + this.#delta, want };
  }

  /** One more token, alone in its run. */
  async feed(id: number | undefined, want: Wanted): Promise<number | Float32Array | undefined> {
    return idOrLogits((await this.#runner.turn([this.next(id, want)])).decoded[0]);
  }
}

function idOrLogits(outcome: Outcome): number | Float32Array | undefined {
  return outcome instanceof Float32Array ? outcome : outcome?.id;
}

/** Those of a slot where every slot has as many as its longest sequence needs. */
function ownPages({ pages, contextLength }: Runner, slot: number): number[] {
  const count = pagesFor(contextLength);
  if ((slot + 1) * count > pages)
    throw new Error(`slot ${slot} has no ${count} pages of ${pages} for its own`);
  return Array.from({ length: count }, (_, i) => slot * count + i);
}
