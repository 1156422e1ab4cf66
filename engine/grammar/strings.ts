// Strings of a schema: their characters, lengths, patterns and formats.
import { Expressions } from "./expression.ts";
import { formats } from "./formats.ts";
import { choice, chars, literal, repeat, seq, type Part, type Ranges } from "./grammar.ts";
import { quotedChar, stringChar } from "./json.ts";
import { charsOf, countOf, everything, subtract } from "./ranges.ts";
import { parseRegex } from "./regex.ts";

/** How the characters of a value are written: inside of quotation marks, or as they are. */
export interface Writing {
  /** Any character. */
  any: Part;
  of(ranges: Ranges): Part;
}

export const inQuotes: Writing = { any: stringChar, of: quotedChar };

/** A set of nearly all characters loses the "<" that might close the tag around the text. */
function bareChar(ranges: Ranges): Part {
  return chars(countOf(ranges) > 200 ? subtract(ranges, charsOf("<")) : ranges);
}

export const bare: Writing = { any: bareChar(everything), of: bareChar };

/** What of a string's keywords a grammar cannot hold: the keyword, and why. */
export class StringError extends Error {
  readonly keyword: string;

  constructor(keyword: string, message: string) {
    super(message);
    this.keyword = keyword;
  }
}

export interface StringRules {
  minLength: number;
  maxLength: number;
  pattern: string | undefined;
  format: string | undefined;
}

/**
 * The texts that fit; undefined where any does. A pattern is followed and a format beside it is not: formats are
 * notes, says JSON Schema. Throws RegexError, StringError.
 */
export function textOf(
  { minLength, maxLength, pattern, format }: StringRules,
  writing: Writing,
): Part | undefined {
  const expression = pattern ?? (format === undefined ? undefined : formats[format]);
  if (expression !== undefined)
    return written(withLength(parseRegex(expression), minLength, maxLength), writing);
  if (minLength === 0 && maxLength === Infinity) return undefined;
  return repeat(writing.any, minLength, maxLength);
}

/** Whether an expression finds a match in a text, in time that grows with the text alone. Throws RegexError. */
export function hasMatch(expression: string, text: string): boolean {
  const expressions = new Expressions({ root: parseRegex(expression), rules: new Map() });
  const bytes = new TextEncoder().encode(text);
  const state = bytes.reduce((at, byte) => expressions.step(at, byte), expressions.root);
  return expressions.isNullable(state);
}

/** The same texts as a value writes them. */
export function written(part: Part, writing: Writing): Part {
  switch (part.kind) {
    case "chars":
      return writing.of(part.ranges);
    case "literal":
      return seq(...[...part.text].map((character) => writing.of(charsOf(character))));
    case "seq":
      return seq(...part.parts.map((each) => written(each, writing)));
    case "choice":
      return choice(...part.options.map((each) => written(each, writing)));
    case "repeat":
      return repeat(written(part.part, writing), part.min, part.max);
    default:
      throw new Error(`no pattern has a part of kind ${part.kind}`);
  }
}

/** Narrows an expression to lengths, in characters. Throws StringError where that is more than changing its counts. */
function withLength(part: Part, min: number, max: number): Part {
  const [least, most] = lengths(part);
  if (least >= min && most <= max) return part;
  const narrowed = narrow(part, min, max);
  if (narrowed) return narrowed;
  const keyword = least < min ? "minLength" : "maxLength";
  throw new StringError(
    keyword,
    `the pattern allows ${least} to ${most} characters, and both cannot be held at once`,
  );
}

/** One repetition of single characters, with others of fixed length around it, can be counted differently. */
function narrow(part: Part, min: number, max: number): Part | undefined {
  const parts = part.kind === "seq" ? part.parts : [part];
  const free = parts.filter((each) => lengths(each)[0] !== lengths(each)[1]);
  const [only] = free;
  if (free.length !== 1 || only?.kind !== "repeat" || lengths(only.part).some((length) => length !== 1))
    return undefined;
  const fixed = parts.reduce((sum, each) => sum + (each === only ? 0 : lengths(each)[0]), 0);
  const counted = repeat(only.part, Math.max(only.min, min - fixed), Math.min(only.max, max - fixed));
  return seq(...parts.map((each) => (each === only ? counted : each)));
}

/** The fewest and most characters of a match. */
function lengths(part: Part): [least: number, most: number] {
  switch (part.kind) {
    case "chars":
      return [1, 1];
    case "literal":
      return [[...part.text].length, [...part.text].length];
    case "seq":
      return part.parts.map(lengths).reduce(([a, b], [c, d]) => [a + c, b + d], [0, 0]);
    case "choice":
      return part.options
        .map(lengths)
        .reduce(([a, b], [c, d]) => [Math.min(a, c), Math.max(b, d)], [Infinity, 0]);
    case "repeat": {
      const [least, most] = lengths(part.part);
      return [least * part.min, most * part.max];
    }
    default:
      return [0, Infinity];
  }
}

/** The text itself, as a value writes it. */
export function exactly(text: string, writing: Writing): Part {
  return written(literal(text), writing);
}
