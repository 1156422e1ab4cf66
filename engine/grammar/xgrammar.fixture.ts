// XGrammar, an engine of others, asked the same: the truth for masks. Its package says it is a module and holds a
// CommonJS file, so it is loaded from a copy with the right ending.
import { copyFileSync, mkdtempSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type * as XGrammar from "@mlc-ai/web-xgrammar";
import type { Grammar, Part, Ranges } from "./grammar.ts";
import { complement, pairs } from "./ranges.ts";
import { end, logits, tokens } from "./walk.fixture.ts";

const require = createRequire(import.meta.url);

function load(): typeof XGrammar {
  const copy = join(mkdtempSync(join(tmpdir(), "xgrammar-")), "index.cjs");
  copyFileSync(require.resolve("@mlc-ai/web-xgrammar"), copy);
  return require(copy) as typeof XGrammar;
}

/** Follows a grammar over the tests' vocabulary. */
export interface Other {
  allowed(): Promise<Int32Array>;
  accept(token: number): boolean;
}

/**
 * A compiler for the tests' vocabulary. Grammars with parts of kind number or text, and with some characters beyond
 * ASCII, have no EBNF.
 */
export async function otherEngine(): Promise<(grammar: Grammar) => Promise<Other>> {
  const { GrammarCompiler, GrammarMatcher, TokenizerInfo } = load();
  const vocabulary = tokens as unknown as string[]; // it takes bytes where its types say text
  const info = await TokenizerInfo.createTokenizerInfo(vocabulary, "raw", false, logits, [end]);
  const compiler = await GrammarCompiler.createGrammarCompiler(info, false);
  return async (grammar) => {
    const compiled = await compiler.compileGrammar(toEbnf(grammar));
    const matcher = await GrammarMatcher.createGrammarMatcher(compiled);
    return { allowed: () => matcher.getNextTokenBitmask(), accept: (token) => matcher.acceptToken(token) };
  };
}

export function toEbnf({ root, rules }: Grammar): string {
  const names = new Map([...rules.keys()].map((name, i) => [name, `rule${i}`]));
  const lines = [...rules].map(([name, part]) => `${names.get(name)!} ::= ${ebnf(part, names)}`);
  return [`root ::= ${ebnf(root, names)}`, ...lines].join("\n");
}

function ebnf(part: Part, names: ReadonlyMap<string, string>): string {
  switch (part.kind) {
    case "literal":
      return `"${[...part.text].map((c) => escaped(c.codePointAt(0)!)).join("")}"`;
    case "chars":
      return characters(part.ranges);
    case "seq":
      return part.parts.length === 0 ? '""' : `(${part.parts.map((each) => ebnf(each, names)).join(" ")})`;
    case "choice":
      return `(${part.options.map((each) => ebnf(each, names)).join(" | ")})`;
    case "repeat":
      return `${ebnf(part.part, names)}{${part.min},${part.max === Infinity ? "" : part.max}}`;
    case "rule":
      return names.get(part.name)!;
    default:
      throw new Error(`no EBNF for a part of kind ${part.kind}`);
  }
}

/** Its classes cut characters beyond ASCII to a byte, but for those that are excluded. */
function characters(ranges: Ranges): string {
  const isBroad = ranges.at(-1)! > 0x7f;
  const listed = isBroad ? complement(ranges) : ranges;
  if (listed.some((point) => point > 0x7f)) throw new Error("no EBNF for some characters beyond ASCII");
  const pieces = pairs(listed).map(([low, high]) => `${escaped(low)}-${escaped(high)}`);
  return `[${isBroad ? "^" : ""}${pieces.join("")}]`;
}

function escaped(point: number): string {
  return point > 0x7f ? String.fromCodePoint(point) : `\\x${point.toString(16).padStart(2, "0")}`;
}
