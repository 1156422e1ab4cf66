// What a sequence consists of, as keys: two stretches have the same key exactly if they hold the same tokens and the
// same pictures in the same places. Keys are the tokens themselves, written as text: a map of them hashes and compares
// at the speed of the engine under us, and nothing but equal content is ever equal.
import type { ImageSpan } from "../models/mrope.ts";
import { PAGE } from "./pages.ts";

/** A picture in a prompt; its hash is of size and pixels. */
export interface Picture extends ImageSpan {
  hash: string;
}

export class Content {
  /** Prompt and answer so far; grows. */
  readonly tokens: number[];
  readonly pictures: readonly Picture[];
  /** Only those of the same name ever have the same keys. */
  readonly name: string;
  /** Keys of the full pages asked for so far. */
  readonly #pages: string[] = [];

  constructor(tokens: readonly number[], pictures: readonly Picture[], name = "") {
    this.tokens = [...tokens];
    this.pictures = pictures;
    this.name = name;
  }

  /** The key of page `index`, which is full. */
  page(index: number): string {
    return (this.#pages[index] ??= this.key(index * PAGE, (index + 1) * PAGE));
  }

  /** The key of tokens from … to − 1, at most a page of them. */
  key(from: number, to: number): string {
    if (to > this.tokens.length)
      throw new Error(`the key of tokens ${from} to ${to} of ${this.tokens.length}`);
    const units: number[] = [];
    for (let i = from; i < to; i += 1) units.push(this.tokens[i]! >>> 16, this.tokens[i]! & 0xffff);
    return String.fromCharCode(...units) + this.#pictureKey(from, to) + this.name;
  }

  /**
   * By how much the position of token `tokens` differs from its index, for the pictures that end before it
   * (models/mrope.ts).
   */
  ropeDelta(tokens: number): number {
    const before = this.pictures.filter(({ at, rows, columns }) => at + rows * columns <= tokens);
    return before.reduce((sum, { rows, columns }) => sum + Math.max(rows, columns) - rows * columns, 0);
  }

  /** A picture's tokens are all the same id: what they stand for is told beside them, and which part of it. */
  #pictureKey(from: number, to: number): string {
    return this.pictures
      .filter(({ at, rows, columns }) => at < to && at + rows * columns > from)
      .map(({ at, rows, columns, hash }) => ` ${at - from} ${rows} ${columns} ${hash}`)
      .join("");
  }
}
