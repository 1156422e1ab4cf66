// Which tokens may come next. A walk through the tree of tokens finds them; where nearly every token may come, as
// inside a text, that takes milliseconds, so it is done once for the part at hand alone (the text and its quotation
// mark, whatever object it stands in). What is left open then, tokens that go beyond that part, is looked at with all
// that surrounds it: some thousand tokens instead of a quarter of a million.
import { FAILED, type Expressions } from "./expression.ts";
import type { TokenTree } from "./vocabulary.ts";

/** What is known of an expression by itself. */
interface Local {
  /** Bit i: token i is the start of a match, or all of one. */
  accepted: Uint32Array;
  /** Nodes whose tokens go on behind a complete match: what surrounds the expression decides. */
  open: readonly number[];
}

/** Masks kept, of V/8 bytes each: 31 KB for the largest vocabularies. */
const mostKept = 64;

export class Masks {
  readonly #expressions: Expressions;
  readonly #tree: TokenTree;
  readonly #words: number;
  readonly #locals = new Map<number, Local>();
  readonly #clamped = new Map<number, number>();
  /** By depth in the tree: what remains there, and whether a match was complete on the way. */
  readonly #states: Int32Array;
  readonly #complete: Uint8Array;

  /** `size`: how many token ids there are. */
  constructor(expressions: Expressions, tree: TokenTree, size: number) {
    this.#expressions = expressions;
    this.#tree = tree;
    this.#words = Math.ceil(size / 32);
    this.#states = new Int32Array(tree.longest + 1);
    this.#complete = new Uint8Array(tree.longest + 1);
  }

  /** The tokens that may come next, a bit for each. Throws RangeError where the grammar is too complex. */
  allowed(id: number): Uint32Array {
    this.#expressions.rest();
    return this.#local(this.#clamp(id)).accepted;
  }

  #local(id: number): Local {
    const known = this.#locals.get(id);
    if (known) {
      this.#locals.delete(id);
      this.#locals.set(id, known);
      return known;
    }
    const local = this.#expressions.isHeavy(id) ? this.#compose(id) : this.#walked(id);
    this.#locals.set(id, local);
    if (this.#locals.size > mostKept) this.#locals.delete(this.#locals.keys().next().value!);
    return local;
  }

  #compose(id: number): Local {
    const node = this.#expressions.node(id);
    if (node.kind === "rule") return this.#local(this.#expressions.bodyOf(node.name));
    if (node.kind === "seq") {
      const behind = this.#within(id, this.#local(node.first));
      return this.#expressions.isNullable(node.first)
        ? this.#either([behind, this.#local(node.rest)])
        : behind;
    }
    if (node.kind !== "choice") return this.#walked(id);
    const heavy = node.options.filter((option) => this.#expressions.isHeavy(option));
    const others = this.#expressions.choice(node.options.filter((option) => !heavy.includes(option)));
    return this.#either([...heavy.map((option) => this.#local(option)), this.#walked(others)]);
  }

  #walked(id: number): Local {
    const accepted = new Uint32Array(this.#words);
    const open: number[] = [];
    this.#walk(id, 0, accepted, open);
    return { accepted, open };
  }

  /** Of an expression that begins with another one, given what is known of that. */
  #within(id: number, first: Local): Local {
    const accepted = first.accepted.slice();
    const open: number[] = [];
    for (const at of first.open) this.#walk(id, at, accepted, open);
    return { accepted, open };
  }

  #either(locals: readonly Local[]): Local {
    const accepted = new Uint32Array(this.#words);
    for (const local of locals) for (let i = 0; i < accepted.length; i++) accepted[i]! |= local.accepted[i]!;
    const open: number[] = [];
    let end = 0;
    // A node under another one of the list is part of it.
    for (const at of locals.flatMap((local) => local.open).sort((a, b) => a - b)) {
      if (at < end) continue;
      open.push(at);
      end = this.#tree.end[at]!;
    }
    return { accepted, open };
  }

  /** Follows every token under node `at` from the expression's start. */
  #walk(id: number, at: number, accepted: Uint32Array, open: number[]): void {
    const { byte, depth, end } = this.#tree;
    const [states, complete] = [this.#states, this.#complete];
    const top = depth[at]!;
    if (!this.#descend(id, at)) {
      if (complete[top]) open.push(at);
      return;
    }
    if (at > 0) this.#accept(at, accepted);
    for (let i = at + 1; i < end[at]!;) {
      const d = depth[i]!;
      const next = this.#expressions.step(states[d - 1]!, byte[i]!);
      if (next === FAILED) {
        if (complete[d - 1]) open.push(i);
        i = end[i]!;
        continue;
      }
      states[d] = next;
      complete[d] = complete[d - 1]! | Number(this.#expressions.isNullable(next));
      this.#accept(i, accepted);
      i++;
    }
  }

  #accept(at: number, accepted: Uint32Array): void {
    const { from, own, order } = this.#tree;
    for (let k = from[at]!; k < from[at]! + own[at]!; k++) accepted[order[k]! >> 5]! |= 1 << (order[k]! & 31);
  }

  /** Follows the bytes down to node `at`; false where they do not match. */
  #descend(id: number, at: number): boolean {
    const { byte, depth } = this.#tree;
    const top = depth[at]!;
    let state = id;
    let complete = 0;
    this.#states[0] = id;
    this.#complete[0] = 0;
    for (const node of this.#path(at)) {
      state = this.#expressions.step(state, byte[node]!);
      if (state !== FAILED) complete |= Number(this.#expressions.isNullable(state));
      this.#states[depth[node]!] = state;
      this.#complete[depth[node]!] = complete;
    }
    this.#complete[top] = complete;
    return state !== FAILED;
  }

  /** The nodes from the root, without it, down to `at`. */
  #path(at: number): number[] {
    const path: number[] = [];
    for (let i = at; i > 0; i = this.#tree.parent[i]!) path.push(i);
    return path.reverse();
  }

  /**
   * An expression that allows the same tokens: a token of L bytes repeats nothing more than L times, so a text of
   * up to 1000 characters and one of up to 999 have one mask.
   */
  #clamp(id: number): number {
    const known = this.#clamped.get(id);
    if (known !== undefined) return known;
    if (this.#clamped.size > 10_000) this.#clamped.clear();
    const clamped = this.#clampAnew(id);
    this.#clamped.set(id, clamped);
    return clamped;
  }

  #clampAnew(id: number): number {
    const node = this.#expressions.node(id);
    if (node.kind === "seq") {
      const rest = this.#expressions.isNullable(node.first) ? this.#clamp(node.rest) : node.rest;
      return this.#expressions.seq(this.#clamp(node.first), rest);
    }
    if (node.kind === "choice")
      return this.#expressions.choice(node.options.map((option) => this.#clamp(option)));
    const most = this.#tree.longest + 1;
    const upTo = (count: number) => (count === Infinity ? count : Math.min(count, most));
    if (node.kind === "text")
      return this.#expressions.textAt({ ...node, least: upTo(node.least), most: upTo(node.most) });
    if (node.kind !== "repeat") return id;
    return this.#expressions.repeat(node.part, upTo(node.min), upTo(node.max));
  }
}
