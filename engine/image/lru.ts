/** The latest used values within a budget of bytes; `drop` is told of those that leave. */
export class LruCache<V> {
  readonly #entries = new Map<string, { value: V; bytes: number }>();
  readonly #budget: number;
  readonly #drop: (value: V) => void;
  #bytes = 0;

  constructor(budget: number, drop: (value: V) => void = () => undefined) {
    this.#budget = budget;
    this.#drop = drop;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** The value, which is now the latest used. */
  get(key: string): V | undefined {
    const entry = this.#entries.get(key);
    if (!entry) return undefined;
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    return entry.value;
  }

  /** Adds a value; nothing leaves before `trim`. */
  set(key: string, value: V, bytes: number): void {
    this.delete(key);
    this.#entries.set(key, { value, bytes });
    this.#bytes += bytes;
  }

  delete(key: string): void {
    const entry = this.#entries.get(key);
    if (!entry) return;
    this.#entries.delete(key);
    this.#bytes -= entry.bytes;
    this.#drop(entry.value);
  }

  /** Lets the longest unused go until the rest is within the budget; those that `needed` names stay. */
  trim(needed: (key: string) => boolean = () => false): void {
    for (const key of this.#entries.keys()) {
      if (this.#bytes <= this.#budget) return;
      if (!needed(key)) this.delete(key);
    }
  }

  clear(): void {
    for (const key of [...this.#entries.keys()]) this.delete(key);
  }
}
