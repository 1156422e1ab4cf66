// What of a new prompt has been computed before. A tree of pages, each keyed by its content behind that of its parent.
// A model of attention alone goes on behind any page. A hybrid needs its state as well, which exists only where it was
// saved: a snapshot, in a slot of its own, at any token; the tree then holds the pages that lead to snapshots. The tree
// owns no memory: its pages are idle ones of the pool, and the one idle for longest goes when a page is needed.
import type { Content } from "./content.ts";
import { PAGE, type PagePool } from "./pages.ts";

/** What is reused: full pages; states, and the pages before them; or nothing. */
export type Reuse = "pages" | "states" | "nothing";

/** The part of a prompt that need not be computed. */
export interface Match {
  tokens: number;
  /** Full pages, to be shared. */
  pages: readonly number[];
  /** The page that holds the tokens behind the full pages: to be copied, since the sequence goes on in it. */
  partial: number | undefined;
  /** The slot of the state behind the last token. */
  snapshot: number | undefined;
  ropeDelta: number;
}

export const noMatch: Match = { tokens: 0, pages: [], partial: undefined, snapshot: undefined, ropeDelta: 0 };

export interface PrefixStats {
  /** Sequences that began, and those of them that reused something. */
  lookups: number;
  hits: number;
  /** Their tokens. */
  lookedUpTokens: number;
  reusedTokens: number;
  /** Pages that the tree holds, in use or idle. */
  pages: number;
  snapshots: number;
}

interface Node {
  readonly key: string;
  /** undefined: the root, which is the empty prefix. */
  readonly parent: Node | undefined;
  readonly page: number;
  readonly children: Map<string, Node>;
  /** Of the states less than a page behind this node, by the key of the tokens between. */
  readonly snapshots: Map<string, Snapshot>;
}

interface Snapshot {
  readonly node: Node;
  readonly tail: string;
  readonly tokens: number;
  readonly slot: number;
  readonly partial: number | undefined;
  readonly ropeDelta: number;
}

export class PrefixCache {
  readonly #pool: PagePool;
  readonly #reuse: Reuse;
  readonly #root = newNode("", undefined, -1);
  readonly #holders = new Map<number, Set<Node | Snapshot>>();
  /** The longest unused first. */
  readonly #snapshots = new Set<Snapshot>();
  readonly #slots: number;
  /** The next to be taken is the last. */
  #freeSlots: number[];
  readonly #counts = { lookups: 0, hits: 0, lookedUpTokens: 0, reusedTokens: 0 };

  constructor(pool: PagePool, options: { reuse: Reuse; snapshots: number }) {
    this.#pool = pool;
    this.#reuse = options.reuse;
    this.#slots = options.snapshots;
    this.#freeSlots = slots(this.#slots);
  }

  get stats(): PrefixStats {
    return { ...this.#counts, pages: this.#holders.size, snapshots: this.#snapshots.size };
  }

  /** A page for one user, at the cost of what was idle for longest; undefined when all are in use. */
  take(): number | undefined {
    for (;;) {
      const page = this.#pool.take();
      if (page !== undefined) return page;
      const oldest = this.#pool.oldestIdle;
      if (oldest === undefined) return undefined;
      this.#evict(oldest);
    }
  }

  /** The longest part of the first `most` tokens that can be reused. Nothing of it is in use by that. */
  match(content: Content, most: number): Match {
    if (this.#reuse === "nothing") return noMatch;
    const pages: number[] = [];
    let node = this.#root;
    let best = noMatch;
    for (;;) {
      if (this.#reuse === "states") best = this.#deepest(node, content, pages, most) ?? best;
      const next = pages.length + 1;
      const child = next * PAGE <= most ? node.children.get(content.page(next - 1)) : undefined;
      if (!child) break;
      pages.push(child.page);
      node = child;
    }
    if (this.#reuse === "states") return best;
    const tokens = pages.length * PAGE;
    return { ...noMatch, tokens, pages, ropeDelta: content.ropeDelta(tokens) };
  }

  /** Notes that a sequence of `tokens` tokens began with a match, which is now its own. */
  reused(match: Match, tokens: number): void {
    this.#counts.lookups += 1;
    this.#counts.hits += match.tokens > 0 ? 1 : 0;
    this.#counts.lookedUpTokens += tokens;
    this.#counts.reusedTokens += match.tokens;
    const snapshot = [...this.#snapshots].find(({ slot }) => slot === match.snapshot);
    if (snapshot) this.#touch(snapshot);
  }

  /**
   * Lets others find the first full pages of a sequence's `pages`, whose first `tokens` tokens are computed. Returns
   * the pages that hold them: another's where another was first; it is the sequence's duty to change over.
   */
  remember(content: Content, pages: readonly number[], tokens: number): number[] {
    if (this.#reuse === "nothing") return [...pages];
    return this.#grow(content, pages, tokens).pages;
  }

  /** A slot for the state behind `tokens` tokens; undefined where there is one already, or none to be had. */
  reserve(content: Content, tokens: number): number | undefined {
    if (this.#reuse !== "states") return undefined;
    const known = this.#find(content, tokens);
    if (known) {
      this.#touch(known);
      return undefined;
    }
    const [oldest] = this.#snapshots;
    if (this.#freeSlots.length === 0 && oldest) this.#dropSnapshot(oldest);
    return this.#freeSlots.pop();
  }

  /** The state in the reserved `slot` is that behind `tokens` tokens. Returns pages as `remember` does. */
  save(content: Content, pages: readonly number[], tokens: number, slot: number): number[] {
    const { node, pages: shared } = this.#grow(content, pages, tokens);
    const start = Math.floor(tokens / PAGE) * PAGE;
    const snapshot: Snapshot = {
      node,
      tail: content.key(start, tokens),
      tokens,
      slot,
      partial: tokens > start ? pages[start / PAGE]! : undefined,
      ropeDelta: content.ropeDelta(tokens),
    };
    node.snapshots.set(snapshot.tail, snapshot);
    this.#snapshots.add(snapshot);
    if (snapshot.partial !== undefined) this.#hold(snapshot.partial, snapshot);
    return shared;
  }

  /** Forgets all contents of a name; nobody uses them any more. */
  forget({ name }: Content): void {
    const { children, snapshots } = this.#root;
    for (const [key, child] of [...children]) if (key.endsWith(name)) this.#fell(child);
    for (const [tail, snapshot] of [...snapshots]) if (tail.endsWith(name)) this.#dropSnapshot(snapshot);
  }

  /** Forgets everything, reserved slots included, as when the device was lost. */
  clear(): void {
    for (const [page, holders] of [...this.#holders]) for (const holder of holders) this.#letGo(page, holder);
    this.#root.children.clear();
    this.#root.snapshots.clear();
    this.#snapshots.clear();
    this.#freeSlots = slots(this.#slots);
  }

  /** The deepest state less than a page behind `node` that the content passes through. */
  #deepest(node: Node, content: Content, pages: readonly number[], most: number): Match | undefined {
    const start = pages.length * PAGE;
    const fits = [...node.snapshots.values()].filter(
      ({ tokens, tail }) => tokens <= most && content.key(start, tokens) === tail,
    );
    const found = fits.sort((a, b) => b.tokens - a.tokens)[0];
    if (!found) return undefined;
    const { tokens, partial, slot, ropeDelta } = found;
    return { tokens, pages: [...pages], partial, snapshot: slot, ropeDelta };
  }

  #find(content: Content, tokens: number): Snapshot | undefined {
    const full = Math.floor(tokens / PAGE);
    let node: Node | undefined = this.#root;
    for (let i = 0; node && i < full; i += 1) node = node.children.get(content.page(i));
    return node?.snapshots.get(content.key(full * PAGE, tokens));
  }

  #grow(content: Content, pages: readonly number[], tokens: number): { node: Node; pages: number[] } {
    const shared = [...pages];
    let node = this.#root;
    for (let i = 0; i < Math.floor(tokens / PAGE); i += 1) {
      const key = content.page(i);
      let child = node.children.get(key);
      if (!child) {
        child = newNode(key, node, pages[i]!);
        node.children.set(key, child);
        this.#hold(child.page, child);
      }
      shared[i] = child.page;
      node = child;
    }
    return { node, pages: shared };
  }

  #hold(page: number, holder: Node | Snapshot): void {
    this.#pool.hold(page);
    const holders = this.#holders.get(page) ?? new Set();
    this.#holders.set(page, holders.add(holder));
  }

  #letGo(page: number, holder: Node | Snapshot): void {
    const holders = this.#holders.get(page)!;
    holders.delete(holder);
    if (holders.size === 0) this.#holders.delete(page);
    this.#pool.drop(page);
  }

  #touch(snapshot: Snapshot): void {
    this.#snapshots.delete(snapshot);
    this.#snapshots.add(snapshot);
  }

  /** All that the page is held for. It is a leaf: who uses a page uses its parents, and releases them after it. */
  #evict(page: number): void {
    for (const holder of [...(this.#holders.get(page) ?? [])]) {
      if ("node" in holder) this.#dropSnapshot(holder);
      else this.#dropNode(holder);
    }
  }

  #fell(node: Node): void {
    for (const child of [...node.children.values()]) this.#fell(child);
    this.#dropNode(node);
  }

  #dropNode(node: Node): void {
    if (node.children.size > 0) throw new Error(`page ${node.page} is evicted before those behind it`);
    for (const snapshot of [...node.snapshots.values()]) this.#dropSnapshot(snapshot);
    // A hybrid's node has gone with its last snapshot.
    if (node.parent!.children.get(node.key) === node) this.#unlink(node);
  }

  #dropSnapshot(snapshot: Snapshot): void {
    snapshot.node.snapshots.delete(snapshot.tail);
    this.#snapshots.delete(snapshot);
    this.#freeSlots.push(snapshot.slot);
    if (snapshot.partial !== undefined) this.#letGo(snapshot.partial, snapshot);
    this.#prune(snapshot.node);
  }

  /** A hybrid has no use for pages that lead to no state. */
  #prune(from: Node): void {
    if (this.#reuse !== "states") return;
    let node = from;
    while (node.parent && node.children.size === 0 && node.snapshots.size === 0) {
      this.#unlink(node);
      node = node.parent;
    }
  }

  #unlink(node: Node): void {
    node.parent!.children.delete(node.key);
    this.#letGo(node.page, node);
  }
}

function slots(count: number): number[] {
  return Array.from({ length: count }, (_, i) => count - 1 - i);
}

function newNode(key: string, parent: Node | undefined, page: number): Node {
  return { key, parent, page, children: new Map(), snapshots: new Map() };
}

/** Of all slots, the share that one prompt's chunk boundaries may take. */
const boundaryShare = 1 / 4;

/**
 * Where a prompt's state is saved, ascending and before its last token: at chunk boundaries, for prompts that part
 * somewhere, and just past the last token of `special`, where the next turn of a conversation goes on. Special tokens
 * are those that a tokenizer never merges with what follows, and that a later rendering repeats: <|im_start|>, but not
 * <think>. Of a long prompt only every 2nd, 4th, … boundary counts, so that it does not drive out all others. Of one that
 * will be `repeated` it is also saved before the last token.
 */
export function snapshotPoints(
  prompt: readonly number[],
  special: ReadonlySet<number>,
  { chunk, slots, repeated = false }: { chunk: number; slots: number; repeated?: boolean },
): number[] {
  if (slots === 0) return [];
  const last = prompt.length - 1;
  let stride = chunk;
  while (Math.floor(last / stride) > Math.max(1, slots * boundaryShare)) stride *= 2;
  const points = Array.from({ length: Math.floor(last / stride) }, (_, i) => (i + 1) * stride);
  const past = prompt.findLastIndex((id) => special.has(id)) + 1;
  if (past <= last) points.push(past);
  if (repeated) points.push(last);
  return [...new Set(points)].filter((point) => point > 0).sort((a, b) => a - b);
}
