// A grammar followed byte by byte, by derivatives (Brzozowski): what remains to be matched is an expression, and after
// a byte it is another one. Equal expressions are one object with one number, and each transition is computed when it
// is first asked for; so nothing is unrolled in advance, be it a text of up to 10,000 characters or a schema which
// contains itself.
import { AhoCorasick } from "./search.ts";
import type { Grammar, NumberSet, Part } from "./grammar.ts";
import { isNullable, nullableRules } from "./grammar.ts";
import { isIn, mayContinue } from "./numbers.ts";
import { countOf, utf8Sequences, type ByteRange } from "./ranges.ts";
import { nextUtf8 } from "./utf8.ts";

/** Nothing can match any more; everything has matched. */
export const FAILED = 0;
export const DONE = 1;

type Node =
  | { kind: "failed" }
  | { kind: "done" }
  /** The rest of a literal, a character a byte. */
  | { kind: "bytes"; text: string }
  /** One byte: 256 bits. */
  | { kind: "set"; bits: Uint32Array }
  /** `first` keeps its own structure: it is what a value's masks are shared by (masks.ts). */
  | { kind: "seq"; first: number; rest: number }
  | { kind: "choice"; options: readonly number[] }
  | { kind: "repeat"; part: number; min: number; max: number }
  | { kind: "rule"; name: string }
  | { kind: "number"; set: NumberSet; written: string }
  /** least, most: characters still to come before the stop; counted down by those of the stop, too. */
  | {
      kind: "text";
      search: number;
      /** What must not be found: an expression of any bytes and then that. */
      never: number;
      stop: boolean;
      found: number;
      utf8: number;
      least: number;
      most: number;
    };

/** New transitions between two calls of `rest`: some seconds of work, which no honest grammar comes near. */
const mostTransitions = 4_000_000;
/** Expressions of one grammar, some 200 bytes each; an honest answer makes a few a token. */
const mostExpressions = 500_000;
/** Tables of transitions kept, 1 KiB each. */
const mostTables = 8192;

export class Expressions {
  readonly root: number;
  readonly #nodes: Node[] = [];
  readonly #nullable: boolean[] = [];
  readonly #heavy: (boolean | undefined)[] = [];
  readonly #known = new Map<string, number>();
  readonly #tables: (Int32Array | undefined)[] = [];
  #tableCount = 0;
  readonly #rules: Grammar["rules"];
  readonly #nullableRules: ReadonlySet<string>;
  readonly #bodies = new Map<string, number>();
  readonly #sets: NumberSet[] = [];
  readonly #searches: { key: string; search: AhoCorasick }[] = [];
  #transitions = 0;

  constructor({ root, rules }: Grammar) {
    this.#rules = rules;
    this.#nullableRules = nullableRules(rules);
    this.#add("failed", { kind: "failed" }, false);
    this.#add("done", { kind: "done" }, true);
    this.root = this.#intern(root);
  }

  get size(): number {
    return this.#nodes.length;
  }

  node(id: number): Node {
    return this.#nodes[id]!;
  }

  /** The text may end here. */
  isNullable(id: number): boolean {
    return this.#nullable[id]!;
  }

  /** What remains after a byte; FAILED where it cannot come next. Throws RangeError where the work has no end. */
  step(id: number, byte: number): number {
    const table = this.#tables[id];
    if (table) {
      const known = table[byte]!;
      if (known >= 0) return known;
    }
    return this.#stepAnew(id, byte);
  }

  /** Between two tokens: the work allowed begins anew. */
  rest(): void {
    this.#transitions = 0;
  }

  /** Many bytes may come next and go on: worth keeping its mask. */
  isHeavy(id: number): boolean {
    const known = this.#heavy[id];
    if (known !== undefined) return known;
    this.#heavy[id] = false; // of a rule that begins with itself nothing is asked: there is none
    return (this.#heavy[id] = this.#weigh(this.#nodes[id]!));
  }

  bodyOf(name: string): number {
    let body = this.#bodies.get(name);
    if (body === undefined) {
      const part = this.#rules.get(name);
      if (!part) throw new Error(`the grammar has no rule ${name}`);
      this.#bodies.set(name, (body = this.#intern(part)));
    }
    return body;
  }

  seq(first: number, rest: number): number {
    if (first === FAILED || rest === FAILED) return FAILED;
    if (first === DONE) return rest;
    if (rest === DONE) return first;
    const nullable = this.#nullable[first]! && this.#nullable[rest]!;
    return this.#add(`s${first},${rest}`, { kind: "seq", first, rest }, nullable);
  }

  choice(ids: readonly number[]): number {
    const options = new Set<number>();
    for (const id of ids) {
      const node = this.#nodes[id]!;
      if (node.kind === "choice") for (const option of node.options) options.add(option);
      else if (id !== FAILED) options.add(id);
    }
    if (options.size === 0) return FAILED;
    const sorted = [...options].sort((a, b) => a - b);
    if (sorted.length === 1) return sorted[0]!;
    const nullable = sorted.some((id) => this.#nullable[id]);
    return this.#add(`c${sorted.join()}`, { kind: "choice", options: sorted }, nullable);
  }

  repeat(part: number, min: number, max: number): number {
    if (max === 0) return DONE;
    if (min === 1 && max === 1) return part;
    return this.#add(`r${part},${min},${max}`, { kind: "repeat", part, min, max }, min === 0);
  }

  /** The start of what remains, for a message. */
  describe(id: number, depth = 0): string {
    const node = this.#nodes[id]!;
    if (depth > 3) return "…";
    switch (node.kind) {
      case "bytes":
        return JSON.stringify(node.text);
      case "set":
        return "<byte>";
      case "seq":
        return `${this.describe(node.first, depth)} ${this.describe(node.rest, depth + 1)}`;
      case "choice": {
        const some = node.options.slice(0, 4).map((option) => this.describe(option, depth + 1));
        return `(${some.join(" | ")}${node.options.length > 4 ? " | …" : ""})`;
      }
      case "repeat":
        return `{${node.min},${node.max}}`;
      case "rule":
        return node.name;
      case "number":
        return `<number ${node.written}>`;
      default:
        return `<${node.kind}>`;
    }
  }

  #stepAnew(id: number, byte: number): number {
    const node = this.#nodes[id]!;
    // Leaves are quicker to ask than to remember.
    if (node.kind === "bytes")
      return node.text.charCodeAt(0) === byte ? this.#bytes(node.text.slice(1)) : FAILED;
    if (node.kind === "set") return (node.bits[byte >> 5]! >>> (byte & 31)) & 1 ? DONE : FAILED;
    if (node.kind === "failed" || node.kind === "done") return FAILED;
    this.#transitions += node.kind === "choice" ? node.options.length : 1;
    if (this.#transitions > mostTransitions) throw new RangeError("the grammar has too many states");
    const next = this.#derive(node, byte);
    this.#tableOf(id)[byte] = next;
    return next;
  }

  #tableOf(id: number): Int32Array {
    const known = this.#tables[id];
    if (known) return known;
    if (this.#tableCount >= mostTables) {
      this.#tables.length = 0;
      this.#tableCount = 0;
    }
    this.#tableCount += 1;
    return (this.#tables[id] = new Int32Array(256).fill(-1));
  }

  #derive(node: Exclude<Node, { kind: "failed" | "done" | "bytes" | "set" }>, byte: number): number {
    switch (node.kind) {
      case "seq": {
        const first = this.seq(this.step(node.first, byte), node.rest);
        return this.#nullable[node.first] ? this.choice([first, this.step(node.rest, byte)]) : first;
      }
      case "choice":
        return this.choice(node.options.map((option) => this.step(option, byte)));
      case "repeat": {
        const { part, min, max } = node;
        const left = this.repeat(part, Math.max(0, min - 1), max - 1);
        return this.seq(this.step(part, byte), left);
      }
      case "rule":
        return this.step(this.bodyOf(node.name), byte);
      case "number": {
        const character = String.fromCharCode(byte);
        if (!mayContinue(node.set, node.written, character)) return FAILED;
        return this.#number(node.set, node.written + character);
      }
      case "text":
        return this.#text(node, byte);
    }
  }

  #text(node: Extract<Node, { kind: "text" }>, byte: number): number {
    const utf8 = nextUtf8(node.utf8, byte);
    if (utf8 < 0) return FAILED;
    const { search } = this.#searches[node.search]!;
    const found = search.next(node.found, byte);
    const hit = search.hit(found);
    const begun = Number(node.utf8 === 0); // a character, which counts from its first byte
    const [least, most] = [node.least - begun, node.most - begun];
    const depth = search.depth(found); // so many of them may yet turn out to be the stop's
    const never = this.step(node.never, byte);
    if (most + depth < 0 || this.isNullable(never)) return FAILED;
    if (hit === undefined) return this.textAt({ ...node, never, found, utf8, least, most });
    return node.stop && hit === 0 && least + depth <= 0 ? DONE : FAILED;
  }

  #weigh(node: Node): boolean {
    switch (node.kind) {
      case "set":
        return node.bits.reduce((sum, word) => sum + bitCount(word), 0) > 32;
      case "seq":
        return this.isHeavy(node.first) || (this.#nullable[node.first]! && this.isHeavy(node.rest));
      case "choice":
        return node.options.some((option) => this.isHeavy(option));
      case "repeat":
        return this.isHeavy(node.part);
      case "rule":
        return this.isHeavy(this.bodyOf(node.name));
      default:
        return node.kind === "text";
    }
  }

  #intern(part: Part): number {
    switch (part.kind) {
      case "literal":
        return this.#bytes(latin1(part.text));
      case "chars":
        return this.#chars(utf8Sequences(part.ranges), countOf(part.ranges));
      case "seq":
        return part.parts.reduceRight((rest, first) => this.seq(this.#intern(first), rest), DONE);
      case "choice":
        return this.choice(part.options.map((option) => this.#intern(option)));
      case "repeat":
        if (isNullable(part.part, this.#nullableRules))
          throw new Error("a repeated part matches the empty text");
        return this.repeat(this.#intern(part.part), part.min, part.max);
      case "rule":
        return this.#add(
          `R${part.name}`,
          { kind: "rule", name: part.name },
          this.#nullableRules.has(part.name),
        );
      case "number":
        return this.#number(part.set, "");
      case "text": {
        const words = [part.stop, ...part.without].filter((word) => word !== undefined);
        const stop = part.stop !== undefined;
        const never = this.#anywhere(this.#intern(part.never));
        const at = { search: this.#searchFor(words), never, stop, found: 0, utf8: 0 };
        return this.textAt({ kind: "text", ...at, least: part.min, most: part.max });
      }
    }
  }

  #bytes(text: string): number {
    return text === "" ? DONE : this.#add(`b${text}`, { kind: "bytes", text }, false);
  }

  /** Sequences that end alike share their ends; their first bytes become one set. */
  #chars(sequences: readonly ByteRange[][], count: number): number {
    if (count === 0) return FAILED;
    const firsts = new Map<number, Uint32Array>();
    for (const [first, ...rest] of sequences) {
      const tail = rest.reduceRight((after, range) => this.seq(this.#set(bitsOf(range)), after), DONE);
      const bits = firsts.get(tail) ?? new Uint32Array(8);
      firsts.set(tail, bitsOf(first!, bits));
    }
    return this.choice([...firsts].map(([tail, bits]) => this.seq(this.#set(bits), tail)));
  }

  #set(bits: Uint32Array): number {
    return this.#add(`S${bits.join()}`, { kind: "set", bits }, false);
  }

  #number(set: NumberSet, written: string): number {
    const at = this.#sets.indexOf(set);
    const index = at >= 0 ? at : this.#sets.push(set) - 1;
    return this.#add(`n${index}:${written}`, { kind: "number", set, written }, isIn(set, written));
  }

  /** Any bytes, and then the expression. */
  #anywhere(id: number): number {
    const any = this.repeat(this.#set(bitsOf([0, 255])), 0, Infinity);
    return id === FAILED ? FAILED : this.seq(any, id);
  }

  #searchFor(words: readonly string[]): number {
    const key = JSON.stringify(words);
    const known = this.#searches.findIndex((each) => each.key === key);
    return known >= 0 ? known : this.#searches.push({ key, search: new AhoCorasick(words) }) - 1;
  }

  textAt(node: Extract<Node, { kind: "text" }>): number {
    // Below this the count makes no difference, and neither do the states that it would tell apart.
    const enough = -this.#searches[node.search]!.search.longest;
    const least = node.least <= 0 && node.found === 0 ? enough : Math.max(node.least, enough);
    const key = `t${node.search},${node.never},${node.stop},${node.found},${node.utf8},${least},${node.most}`;
    return this.#add(key, { ...node, least }, !node.stop && node.utf8 === 0);
  }

  #add(key: string, node: Node, nullable: boolean): number {
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    if (this.#nodes.length >= mostExpressions) throw new RangeError("the grammar has too many states");
    const id = this.#nodes.push(node) - 1;
    this.#nullable.push(nullable);
    this.#known.set(key, id);
    return id;
  }
}

function bitsOf([low, high]: ByteRange, into: Uint32Array = new Uint32Array(8)): Uint32Array {
  for (let byte = low; byte <= high; byte++) into[byte >> 5]! |= 1 << (byte & 31);
  return into;
}

function bitCount(word: number): number {
  let count = 0;
  for (let rest = word; rest !== 0; rest &= rest - 1) count++;
  return count;
}

/** UTF-8 as a string of a character a byte. */
function latin1(text: string): string {
  return String.fromCharCode(...new TextEncoder().encode(text));
}
