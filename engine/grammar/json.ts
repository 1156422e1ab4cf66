// JSON as a grammar. Bounded where models run away: white space, digits and depth.
import {
  choice,
  chars,
  empty,
  literal,
  optional,
  repeat,
  rule,
  seq,
  type Part,
  type Ranges,
} from "./grammar.ts";
import { charsOf, complement, intersect, pairs, subtract, union } from "./ranges.ts";

/** Between the tokens of a value: nothing, a space, or a line break and an indent. */
const space: Part = choice(
  empty,
  literal(" "),
  seq(literal("\n"), repeat(literal(" "), 0, 32)),
  seq(literal("\n"), repeat(literal("\t"), 1, 8)),
);

/** Behind a colon. */
const gap: Part = optional(literal(" "));

const controls: Ranges = [0, 0x1f];
/** What stands for itself inside quotation marks. */
const plain: Ranges = complement(union(controls, charsOf('"\\')));

const hex = chars(charsOf("0123456789abcdefABCDEF"));
const hexDigits = (n: number) => repeat(hex, n, n);

/** `\u` and its digits; surrogates only in pairs. */
const unicodeEscape = choice(
  seq(literal("\\u"), chars(charsOf("0123456789abcefABCEF")), hexDigits(3)),
  seq(literal("\\u"), chars(charsOf("dD")), chars(charsOf("01234567")), hexDigits(2)),
  seq(
    ...[literal("\\u"), chars(charsOf("dD")), chars(charsOf("89abAB")), hexDigits(2)],
    ...[literal("\\u"), chars(charsOf("dD")), chars(charsOf("cdefCDEF")), hexDigits(2)],
  ),
);

/** Any character of a string. */
export const stringChar: Part = choice(
  chars(plain),
  seq(literal("\\"), chars(charsOf('"\\/bfnrt'))),
  unicodeEscape,
);

const shortEscapes = new Map([...'"\\\b\f\n\r\t'].map((c) => [c, JSON.stringify(c).slice(1, -1)]));

/** A character of a set as a string holds it: escaped only where it must be. */
export function quotedChar(ranges: Ranges): Part {
  const special = pairs(subtract(ranges, plain)).flatMap(([low, high]) =>
    Array.from({ length: high - low + 1 }, (_, i) => String.fromCodePoint(low + i)),
  );
  const escaped = special.map((c) => literal(shortEscapes.get(c) ?? JSON.stringify(c).slice(1, -1)));
  return choice(chars(intersect(ranges, plain)), ...escaped);
}

/** `body` between quotation marks. One part, whatever stands around it: masks are kept by it. */
export function quoted(body: Part): Part {
  return seq(literal('"'), seq(body, literal('"')));
}

export const anyString: Part = quoted(repeat(stringChar));

const digit = chars([0x30, 0x39]);
const whole = choice(literal("0"), seq(chars([0x31, 0x39]), repeat(digit, 0, 19)));
const sign = optional(literal("-"));
export const anyInteger: Part = seq(sign, whole);
export const anyNumber: Part = seq(
  sign,
  whole,
  optional(seq(literal("."), repeat(digit, 1, 20))),
  optional(seq(chars(charsOf("eE")), optional(chars(charsOf("+-"))), repeat(digit, 1, 2))),
);

/** `open`, members with commas between them, `close`.   members: with what is around each */
export function bracketed(open: string, members: Part, close: string): Part {
  return seq(literal(open), space, members, space, literal(close));
}

export const comma: Part = seq(literal(","), space);

/** From min to max of a part, with commas between them. */
export function listOf(part: Part, min: number, max: number): Part {
  const some = seq(part, repeat(seq(comma, part), Math.max(0, min - 1), max - 1));
  if (max === 0) return empty;
  return min === 0 ? optional(some) : some;
}

export function member(key: Part, value: Part): Part {
  return seq(key, literal(":"), gap, value);
}

/** One value, in any layout. */
export function constant(value: unknown): Part {
  if (Array.isArray(value)) return bracketed("[", separated(value.map(constant)), "]");
  if (typeof value !== "object" || value === null) return literal(JSON.stringify(value));
  const members = Object.entries(value).map(([key, each]) => member(constant(key), constant(each)));
  return bracketed("{", separated(members), "}");
}

function separated(parts: readonly Part[]): Part {
  return seq(...parts.flatMap((part, i) => (i === 0 ? [part] : [comma, part])));
}

/** How deep a value without a schema may be nested: models at high temperatures open brackets without end. */
const deepest = 16;
const valueAt = (depth: number) => `value${depth}`;

export const anyValue: Part = rule(valueAt(0));
export const anyObject: Part = rule("object0");

export const anyMember: Part = member(anyString, anyValue);

/** The rules that anyValue and anyObject need. */
export const jsonRules: ReadonlyMap<string, Part> = new Map(
  Array.from({ length: deepest + 1 }, (_, depth): [string, Part][] => {
    const scalars = [anyString, anyNumber, literal("true"), literal("false"), literal("null")];
    if (depth === deepest) return [[valueAt(depth), choice(...scalars)]];
    const inner = rule(valueAt(depth + 1));
    const object = bracketed("{", listOf(member(anyString, inner), 0, Infinity), "}");
    const array = bracketed("[", listOf(inner, 0, Infinity), "]");
    return [
      [`object${depth}`, object],
      [valueAt(depth), choice(...scalars, rule(`object${depth}`), array)],
    ];
  }).flat(),
);

/** A string that is none of `names`; without escapes, so that each has one form. */
export function stringBut(names: readonly string[]): Part {
  return quoted(textBut(names.map((name) => [...name])));
}

function textBut(words: readonly (readonly string[])[]): Part {
  if (words.length === 0) return repeat(chars(plain));
  const firsts = new Set(words.filter((word) => word.length > 0).map((word) => word[0]!));
  const other = seq(chars(subtract(plain, charsOf([...firsts].join("")))), repeat(chars(plain)));
  const shared = [...firsts]
    .filter((first) => intersect(charsOf(first), plain).length > 0)
    .map((first) => {
      const rests = words.filter((word) => word[0] === first).map((word) => word.slice(1));
      return seq(literal(first), textBut(rests));
    });
  const none = words.some((word) => word.length === 0) ? [] : [empty];
  return choice(...none, other, ...shared);
}
