// Regular expressions as JSON schemas use them (ECMAScript's), read into a grammar of bare characters; strings.ts says
// how a character is written in a value. What a grammar cannot express is an error that names it.
import { choice, chars, empty, isNullable, nothing, repeat, seq, type Part, type Ranges } from "./grammar.ts";
import { charsOf, complement, everything, pairs, toRanges, union, whiteSpace } from "./ranges.ts";

/** Characters of an expression: one that is longer is no pattern of a value, and might be nested without end. */
const longest = 2000;

/** What of a regular expression we do not support, in words. */
export class RegexError extends Error {}

/** The texts in which the expression finds a match: where it has no ^ or $, anything may come before or behind. */
export function parseRegex(source: string): Part {
  if (source.length > longest) throw new RegexError(`it is longer than ${longest} characters`);
  expectValid(source);
  const parser = new Parser(source);
  return choice(...parser.whole().map(searched));
}

/** A sequence of the expression, and whether it is bound to the text's start or end. */
interface Branch {
  parts: Part[];
  start: boolean;
  end: boolean;
}

function searched({ parts, start, end }: Branch): Part {
  const any = repeat(chars(everything));
  return seq(...(start ? [] : [any]), ...parts, ...(end ? [] : [any]));
}

function expectValid(source: string): void {
  try {
    new RegExp(source, "u");
  } catch {
    try {
      new RegExp(source); // as validators do with older expressions
    } catch (error) {
      throw new RegexError((error as Error).message);
    }
  }
}

const classes: Record<string, Ranges> = {
  d: [0x30, 0x39],
  w: charsOf("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"),
  s: whiteSpace,
};
const lineEnds = charsOf("\n\r\u2028\u2029");
const controlEscapes: Record<string, string> = { t: "\t", n: "\n", r: "\r", f: "\f", v: "\v", "0": "\0" };

class Parser {
  readonly #source: string;
  #at = 0;

  constructor(source: string) {
    this.#source = source;
  }

  whole(): Branch[] {
    const branches = this.#branches();
    if (this.#at < this.#source.length) throw new RegexError(`unexpected ${this.#source[this.#at]}`);
    return branches;
  }

  #branches(): Branch[] {
    const branches = [this.#branch()];
    while (this.#take("|")) branches.push(this.#branch());
    return branches.flat();
  }

  /** Several where the branch is one group whose own branches are bound to the text's ends. */
  #branch(): Branch[] {
    const branch: Branch = { parts: [], start: false, end: false };
    while (this.#take("^")) branch.start = true;
    const begun = this.#at;
    const group = this.#isGroup() ? this.#group() : undefined;
    if (group?.some(({ start, end }) => start || end)) {
      while (this.#take("$")) branch.end = true;
      if (!this.#atBranchEnd()) throw new RegexError("^ or $ inside of an expression is not supported");
      return group.map(({ parts, start, end }) => ({
        parts,
        start: start || branch.start,
        end: end || branch.end,
      }));
    }
    this.#at = begun;
    while (!this.#atBranchEnd()) {
      if (this.#take("$")) {
        branch.end = true;
        if (!this.#atBranchEnd()) throw new RegexError("$ inside of an expression is not supported");
      } else branch.parts.push(this.#quantified(this.#atom()));
    }
    return [branch];
  }

  #atBranchEnd(): boolean {
    return this.#at >= this.#source.length || "|)".includes(this.#source[this.#at]!);
  }

  #isGroup(): boolean {
    return this.#source[this.#at] === "(";
  }

  #group(): Branch[] {
    this.#at += 1;
    if (/^\?(=|!|<=|<!)/.test(this.#source.slice(this.#at, this.#at + 3)))
      throw new RegexError("looking ahead or behind is not supported");
    const head = /^\?(:|<[^>]+>)/.exec(this.#source.slice(this.#at));
    if (head) this.#at += head[0].length;
    else if (this.#source[this.#at] === "?")
      throw new RegexError("flags inside of an expression are not supported");
    const branches = this.#branches();
    if (!this.#take(")")) throw new RegexError("a group is not closed");
    return branches;
  }

  #atom(): Part {
    if (this.#isGroup()) {
      const branches = this.#group();
      if (branches.some(({ start, end }) => start || end))
        throw new RegexError("^ or $ inside of an expression is not supported");
      return choice(...branches.map(({ parts }) => seq(...parts)));
    }
    if (this.#take("[")) return chars(this.#class());
    if (this.#take(".")) return chars(complement(lineEnds));
    if (this.#take("^")) throw new RegexError("^ inside of an expression is not supported");
    if (this.#take("\\")) return chars(this.#escape(false));
    return chars(charsOf(this.#character()));
  }

  #quantified(part: Part): Part {
    const found = /^(?:([*+?])|\{(\d+)(,?)(\d*)\})\??/.exec(this.#source.slice(this.#at));
    if (!found) return part;
    this.#at += found[0].length;
    const [, sign, low, comma, high] = found;
    if (sign) return repeated(part, sign === "+" ? 1 : 0, sign === "?" ? 1 : Infinity);
    return repeated(part, Number(low), high ? Number(high) : comma ? Infinity : Number(low));
  }

  #class(): Ranges {
    const negated = this.#take("^");
    const sets: Ranges[] = [];
    while (!this.#take("]")) {
      const low = this.#member();
      if (
        this.#source[this.#at] !== "-" ||
        this.#source[this.#at + 1] === "]" ||
        low.length !== 2 ||
        low[0] !== low[1]
      ) {
        sets.push(low);
        continue;
      }
      this.#at += 1;
      const high = this.#member();
      if (high.length === 2 && high[0] === high[1]) sets.push([low[0]!, high[0]!]);
      else sets.push(low, charsOf("-"), high);
    }
    const ranges = union(...sets);
    return negated ? complement(ranges) : ranges;
  }

  #member(): Ranges {
    return this.#take("\\") ? this.#escape(true) : charsOf(this.#character());
  }

  /** Behind a backslash. */
  #escape(inClass: boolean): Ranges {
    const letter = this.#character();
    const lower = letter.toLowerCase();
    if (Object.hasOwn(classes, lower))
      return letter === lower ? classes[lower]! : complement(classes[lower]!);
    if (lower === "p") return this.#property(letter);
    if (letter === "u" || letter === "x") return this.#codePoint(letter);
    if (letter === "c")
      return [this.#character().charCodeAt(0) % 32, this.#source.charCodeAt(this.#at - 1) % 32];
    if (letter === "b" && inClass) return charsOf("\b");
    if (lower === "b") throw new RegexError("a word boundary is not supported");
    if (/[1-9k]/.test(letter)) throw new RegexError("a reference to a group is not supported");
    return charsOf(controlEscapes[letter] ?? letter);
  }

  #codePoint(letter: string): Ranges {
    const form = letter === "x" ? /^([0-9a-fA-F]{2})/ : /^(?:([0-9a-fA-F]{4})|\{([0-9a-fA-F]+)\})/;
    const found = form.exec(this.#source.slice(this.#at));
    if (!found) return charsOf(letter);
    this.#at += found[0].length;
    const unit = parseInt((found[1] ?? found[2])!, 16);
    const low = /^\\u([dD][c-fC-F][0-9a-fA-F]{2})/.exec(this.#source.slice(this.#at));
    if (unit < 0xd800 || unit > 0xdbff || !low) return [unit, unit];
    this.#at += low[0].length;
    const point = 0x10000 + ((unit - 0xd800) << 10) + (parseInt(low[1]!, 16) - 0xdc00);
    return [point, point];
  }

  #property(letter: string): Ranges {
    const found = /^\{[^}]+\}/.exec(this.#source.slice(this.#at));
    if (!found) return charsOf(letter);
    this.#at += found[0].length;
    return matching(`\\${letter}${found[0]}`);
  }

  #character(): string {
    const point = this.#source.codePointAt(this.#at);
    if (point === undefined) throw new RegexError("it ends too early");
    const character = String.fromCodePoint(point);
    this.#at += character.length;
    return character;
  }

  #take(character: string): boolean {
    if (this.#source[this.#at] !== character) return false;
    this.#at += 1;
    return true;
  }
}

const properties = new Map<string, Ranges>();

/** The characters that a property of Unicode has: asked of the runtime, over all of them in order, once. */
function matching(property: string): Ranges {
  const known = properties.get(property);
  if (known) return known;
  const runs = inOrder().matchAll(new RegExp(`${property}+`, "gu"));
  const ranges = toRanges(
    Array.from(
      runs,
      ({ 0: run }) => [run.codePointAt(0)!, [...run.slice(-2)].at(-1)!.codePointAt(0)!] as const,
    ),
  );
  properties.set(property, ranges);
  return ranges;
}

/** Every character. */
function inOrder(): string {
  const blocks = pairs(everything).map(([low, high]) => {
    const points = Array.from({ length: high - low + 1 }, (_, i) => low + i);
    const pieces = Array.from({ length: Math.ceil(points.length / 4096) }, (_, i) =>
      String.fromCodePoint(...points.slice(4096 * i, 4096 * (i + 1))),
    );
    return pieces.join("");
  });
  return blocks.join("");
}

/** A repetition whose part never matches the empty text. */
function repeated(part: Part, min: number, max: number): Part {
  if (max === 0) return empty;
  return isNullable(part) ? repeat(notEmpty(part), 0, max) : repeat(part, min, max);
}

/** The part's matches but for the empty text. */
function notEmpty(part: Part): Part {
  if (part.kind === "choice") return choice(...part.options.map(notEmpty));
  if (part.kind === "repeat") return repeat(part.part, Math.max(1, part.min), part.max);
  if (part.kind !== "seq") return part;
  const [first, ...rest] = part.parts;
  if (!first) return nothing;
  const from = seq(notEmpty(first), ...rest);
  return isNullable(first) ? choice(from, notEmpty(seq(...rest))) : from;
}
