// The pages of the KV cache, as numbers: which are free, used or kept. A page has room for the keys and values of PAGE
// tokens, in every attention layer at once. Sequences that begin alike use the same pages; rows once written never
// change, so only the page which a sequence still fills must be its own.
import { PAGE } from "../ops/kv-cache.ts";

export { PAGE };

/** Pages that `tokens` tokens need. */
export function pagesFor(tokens: number): number {
  return Math.ceil(tokens / PAGE);
}

/**
 * Every page is in one of three states: free; used, by one sequence or several; or idle, used by none and kept by the
 * prefix cache for what it holds. free + used + idle = count, always.
 */
export class PagePool {
  readonly count: number;
  readonly #users: Uint32Array;
  readonly #holds: Uint32Array;
  /** The next to be taken is the last. */
  readonly #free: number[];
  /** In the order in which they became idle. */
  readonly #idle = new Set<number>();

  constructor(count: number) {
    this.count = count;
    this.#users = new Uint32Array(count);
    this.#holds = new Uint32Array(count);
    this.#free = Array.from({ length: count }, (_, i) => count - 1 - i);
  }

  get free(): number {
    return this.#free.length;
  }

  get idle(): number {
    return this.#idle.size;
  }

  get used(): number {
    return this.count - this.free - this.idle;
  }

  /** Sequences that use the page. */
  users(page: number): number {
    return this.#users[page]!;
  }

  /** The page that has been idle for longest. */
  get oldestIdle(): number | undefined {
    return this.#idle.values().next().value;
  }

  /** A free page, now used by one; undefined when none is free. */
  take(): number | undefined {
    const page = this.#free.pop();
    if (page !== undefined) this.#users[page] = 1;
    return page;
  }

  /** One more user of a page that is used or idle. */
  share(page: number): void {
    if (this.#users[page] === 0 && !this.#idle.delete(page)) throw new Error(`page ${page} is free`);
    this.#users[page]! += 1;
  }

  /** One user less; behind the last the page is idle if it is kept, else free. */
  release(page: number): void {
    if (!(this.#users[page]! > 0)) throw new Error(`page ${page} has no user`);
    this.#users[page]! -= 1;
    this.#settle(page);
  }

  /** Releases pages of one sequence, the last one first: what builds on others is idle before them. */
  releaseAll(pages: readonly number[]): void {
    for (let i = pages.length - 1; i >= 0; i -= 1) this.release(pages[i]!);
  }

  /** The cache holds a page that is in use; so often as it likes. */
  hold(page: number): void {
    if (this.#users[page] === 0) throw new Error(`page ${page} is held while nobody uses it`);
    this.#holds[page]! += 1;
  }

  /** The cache lets go of it once. */
  drop(page: number): void {
    if (!(this.#holds[page]! > 0)) throw new Error(`page ${page} is not held`);
    this.#holds[page]! -= 1;
    this.#settle(page);
  }

  #settle(page: number): void {
    if (this.#users[page]! > 0) return;
    if (this.#holds[page]! > 0) {
      this.#idle.add(page);
      return;
    }
    this.#idle.delete(page);
    this.#free.push(page);
  }
}

/** A slot's row of the page table, which the host owns, and how much of it the device has been told. */
export class PageTable {
  readonly pages: number[] = [];
  #told = 0;

  add(pages: readonly number[]): void {
    for (const page of pages) this.pages.push(page);
  }

  replace(index: number, page: number): void {
    this.pages[index] = page;
    this.#told = Math.min(this.#told, index);
  }

  clear(): void {
    this.pages.length = 0;
    this.#told = 0;
  }

  /** What the device does not know yet, once: entries from `first` on. */
  untold(): { first: number; pages: number[] } | undefined {
    if (this.#told === this.pages.length) return undefined;
    const first = this.#told;
    this.#told = this.pages.length;
    return { first, pages: this.pages.slice(first) };
  }
}
