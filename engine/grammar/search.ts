// Several words looked for in a text at once (Aho and Corasick), byte by byte.

interface State {
  next: Map<number, number>;
  depth: number;
  /** The state of the longest end of what was read here that begins a word, too. */
  fallback: number;
  /** Index of the word that ends here. */
  hit: number | undefined;
}

export class AhoCorasick {
  /** Bytes of the longest word. */
  readonly longest: number;
  readonly #states: State[] = [{ next: new Map(), depth: 0, fallback: 0, hit: undefined }];

  /** Where two words end at one place, the earlier of the list counts. */
  constructor(words: readonly string[]) {
    words.forEach((word, i) => this.#insert(new TextEncoder().encode(word), i));
    this.#link();
    this.longest = Math.max(0, ...this.#states.map(({ depth }) => depth));
  }

  /** The state after a byte; 0 is the start. */
  next(state: number, byte: number): number {
    for (let at = state; ; at = this.#states[at]!.fallback) {
      const next = this.#states[at]!.next.get(byte);
      if (next !== undefined) return next;
      if (at === 0) return 0;
    }
  }

  /** How many bytes of a word have been read. */
  depth(state: number): number {
    return this.#states[state]!.depth;
  }

  /** The word that ends here. */
  hit(state: number): number | undefined {
    return this.#states[state]!.hit;
  }

  #insert(word: Uint8Array, index: number): void {
    let at = 0;
    for (const byte of word) {
      let next = this.#states[at]!.next.get(byte);
      if (next === undefined) {
        const depth = this.#states[at]!.depth + 1;
        next = this.#states.push({ next: new Map(), depth, fallback: 0, hit: undefined }) - 1;
        this.#states[at]!.next.set(byte, next);
      }
      at = next;
    }
    this.#states[at]!.hit ??= index;
  }

  /** Breadth first, so that a fallback is linked before those that look at it. */
  #link(): void {
    const queue = [...this.#states[0]!.next.values()];
    for (const at of queue) {
      const { fallback, next } = this.#states[at]!;
      for (const [byte, child] of next) {
        this.#states[child]!.fallback = this.next(fallback, byte);
        queue.push(child);
      }
      const shorter = this.#states[fallback]!.hit;
      const own = this.#states[at]!.hit;
      if (shorter !== undefined) this.#states[at]!.hit = own === undefined ? shorter : Math.min(own, shorter);
    }
  }
}
