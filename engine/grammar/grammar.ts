// A grammar as plain data: it is made on the main thread, where a wrong schema is told to its caller, and crosses to
// the device's thread, where expression.ts follows it byte by byte. Rules give names to parts, so that a grammar may
// contain itself and shared parts are written once.

/** Code points in ascending pairs: [low, high, low, high, …], both ends included. */
export type Ranges = readonly number[];

export type Part =
  | { kind: "literal"; text: string }
  /** One character. */
  | { kind: "chars"; ranges: Ranges }
  | { kind: "seq"; parts: readonly Part[] }
  /** No options: nothing can match. */
  | { kind: "choice"; options: readonly Part[] }
  /** `max` may be Infinity; `part` never matches the empty text. */
  | { kind: "repeat"; part: Part; min: number; max: number }
  | { kind: "rule"; name: string }
  /** A decimal number of a set. */
  | { kind: "number"; set: NumberSet }
  /**
   * Any text without the words `without` and without what `never` matches; with `stop`, up to the first stop and
   * including it. `min` and `max` count the characters before the stop, and need one, in ASCII, and no `without`.
   */
  | {
      kind: "text";
      stop: string | undefined;
      without: readonly string[];
      never: Part;
      min: number;
      max: number;
    };

/**
 * Multiples of `step` from `min` to `max`, all three in units of 10^-places; written with at most `places` digits
 * behind the point and `digits` before it.
 */
export interface NumberSet {
  places: number;
  digits: number;
  min: bigint | undefined;
  max: bigint | undefined;
  step: bigint;
}

export interface Grammar {
  root: Part;
  rules: ReadonlyMap<string, Part>;
}

/** A grammar and the name that equal ones share. */
export interface NamedGrammar {
  key: string;
  grammar: Grammar;
}

export const nothing: Part = { kind: "choice", options: [] };
export const empty: Part = { kind: "seq", parts: [] };

export function literal(text: string): Part {
  return text === "" ? empty : { kind: "literal", text };
}

export function chars(ranges: Ranges): Part {
  return ranges.length === 0 ? nothing : { kind: "chars", ranges };
}

export function seq(...parts: readonly Part[]): Part {
  return parts.length === 1 ? parts[0]! : { kind: "seq", parts };
}

export function choice(...options: readonly Part[]): Part {
  return options.length === 1 ? options[0]! : { kind: "choice", options };
}

export function optional(part: Part): Part {
  return choice(part, empty);
}

export function repeat(part: Part, min = 0, max = Infinity): Part {
  if (max < min) return nothing;
  return max === 0 ? empty : { kind: "repeat", part, min, max };
}

/** Any text up to `stop`, which is part of it. */
export function textUntil(
  stop: string,
  { min = 0, max = Infinity, without = [] as readonly string[], never = nothing } = {},
): Part {
  return { kind: "text", stop, without, never, min, max };
}

export function textWithout(without: readonly string[]): Part {
  return { kind: "text", stop: undefined, without, never: nothing, min: 0, max: Infinity };
}

/** One of these texts; beginnings that they share are written once. */
export function oneOf(texts: readonly string[]): Part {
  const byFirst = new Map<string, string[]>();
  for (const text of new Set(texts)) {
    const first = String.fromCodePoint(text.codePointAt(0) ?? 0);
    const group = byFirst.get(first);
    if (group) group.push(text);
    else byFirst.set(first, [text]);
  }
  return choice(
    ...[...byFirst].map(([first, group]) => {
      if (group.length === 1) return literal(group[0]!);
      const shared = group.reduce(commonStart);
      const length = shared === "" ? first.length : shared.length;
      return seq(literal(group[0]!.slice(0, length)), oneOf(group.map((text) => text.slice(length))));
    }),
  );
}

/** Never half of a character. */
function commonStart(a: string, b: string): string {
  let n = 0;
  while (n < a.length && n < b.length && a[n] === b[n]) n++;
  return a.slice(0, n > 0 && /[\ud800-\udbff]/.test(a[n - 1]!) ? n - 1 : n);
}

export function rule(name: string): Part {
  return { kind: "rule", name };
}

/** Which rules have the property, given how it follows for a part from that of the rules: the least fixed point. */
function rulesWhere(
  rules: ReadonlyMap<string, Part>,
  holds: (part: Part) => boolean,
  found: Set<string>,
): void {
  let unsure = [...rules];
  for (let before = -1; unsure.length !== before;) {
    before = unsure.length;
    // To and fro: rules speak of those before them and of those behind them.
    unsure = unsure.toReversed().filter(([name, part]) => {
      if (!holds(part)) return true;
      found.add(name);
      return false;
    });
  }
}

/** The rules that match the empty text. */
export function nullableRules(rules: ReadonlyMap<string, Part>): ReadonlySet<string> {
  const found = new Set<string>();
  rulesWhere(rules, (part) => isNullable(part, found), found);
  return found;
}

/** Whether a part matches the empty text, given the rules that do. */
export function isNullable(part: Part, nullable: ReadonlySet<string> = new Set()): boolean {
  switch (part.kind) {
    case "literal":
    case "chars":
    case "number":
      return false;
    case "seq":
      return part.parts.every((each) => isNullable(each, nullable));
    case "choice":
      return part.options.some((each) => isNullable(each, nullable));
    case "repeat":
      return part.min === 0;
    case "rule":
      return nullable.has(part.name);
    case "text":
      return part.stop === undefined;
  }
}

/** Without the options that can never end, such as an object which must contain itself. */
export function pruned({ root, rules }: Grammar): Grammar {
  const finite = new Set<string>();
  const ends = (part: Part): boolean => {
    switch (part.kind) {
      case "seq":
        return part.parts.every(ends);
      case "choice":
        return part.options.some(ends);
      case "repeat":
        return part.min === 0 || ends(part.part);
      case "rule":
        return finite.has(part.name);
      default:
        return true;
    }
  };
  rulesWhere(rules, ends, finite);
  const prune = (part: Part): Part => {
    if (!ends(part)) return nothing;
    if (part.kind === "seq") return { kind: "seq", parts: part.parts.map(prune) };
    if (part.kind === "choice") return choice(...part.options.filter(ends).map(prune));
    if (part.kind === "repeat") return ends(part.part) ? { ...part, part: prune(part.part) } : empty;
    return part;
  };
  const kept = [...rules]
    .filter(([name]) => finite.has(name))
    .map(([name, part]) => [name, prune(part)] as const);
  return { root: prune(root), rules: new Map(kept) };
}

/** True when nothing matches. Only for a pruned grammar. */
export function isNothing(part: Part): boolean {
  return part.kind === "choice" && part.options.length === 0;
}
