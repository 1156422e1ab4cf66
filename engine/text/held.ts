// Text on its way through the stages of a stream, and the log-probabilities of the tokens that made it.
// A stage holds text back until it knows what it is; a token's log-probability stays with its first character that
// goes on, so nothing is lost or told twice.

import type { TokenLogprob } from "../serve/types.ts";

/** A piece of text and the tokens that begin in it (none where log-probabilities were not asked for). */
export interface Run {
  text: string;
  logprobs: TokenLogprob[];
}

/** A queue of text: in at the back, out at the front. */
export class Held {
  text = "";
  #runs: Run[] = [];

  push(run: Run): void {
    if (run.text === "") return;
    this.text += run.text;
    this.#runs.push({ ...run });
  }

  /** The first n characters go on, with the log-probabilities of every token that they begin. */
  take(n: number): Run {
    const taken: Run = { text: this.text.slice(0, n), logprobs: [] };
    this.#advance(n, (run, whole) => {
      taken.logprobs.push(...run.logprobs);
      if (!whole) run.logprobs = [];
    });
    return taken;
  }

  /** The first n characters vanish; a token that still has text behind them goes with that. */
  drop(n: number): void {
    this.#advance(n, () => undefined);
  }

  #advance(n: number, each: (run: Run, whole: boolean) => void): void {
    this.text = this.text.slice(n);
    let left = n;
    while (left > 0 && this.#runs.length > 0) {
      const run = this.#runs[0]!;
      const whole = run.text.length <= left;
      each(run, whole);
      if (whole) this.#runs.shift();
      else run.text = run.text.slice(left);
      left -= whole ? run.text.length : left;
    }
  }
}

/** The length of the longest end of `text` with which one of the words begins (but is not complete). */
export function partialEnd(text: string, words: readonly string[]): number {
  let longest = 0;
  for (const word of words)
    for (let n = Math.min(word.length - 1, text.length); n > longest; n--)
      if (text.endsWith(word.slice(0, n))) longest = n;
  return longest;
}

/** The first place where one of the words stands, the longest of them where several begin there. */
export function findFirst(
  text: string,
  words: readonly string[],
  from = 0,
): { index: number; word: string } | undefined {
  let first: { index: number; word: string } | undefined;
  for (const word of words) {
    const index = text.indexOf(word, from);
    if (index < 0) continue;
    if (!first || index < first.index || (index === first.index && word.length > first.word.length))
      first = { index, word };
  }
  return first;
}

/** How many characters of white space the text begins with. */
export function leadingSpace(text: string): number {
  return text.length - text.trimStart().length;
}
