import { expect, test } from "vitest";
import { chars, choice, literal, repeat, seq, type Grammar, type Part } from "./grammar.ts";
import { Grammars } from "./matcher.ts";
import { schemaGrammar } from "./schema.ts";
import { vocabularyOf } from "./vocabulary.ts";
import { draw, end, generator, idsIn, logits, tokens, vocabulary } from "./walk.fixture.ts";

const alone = (root: Part): Grammar => ({ root, rules: new Map() });
const idOf = (text: string) => tokens.findIndex((bytes) => Buffer.from(bytes).toString() === text);

test("the end is allowed only where the grammar may end, and at its very end nothing else", () => {
  const grammar = alone(seq(literal("ab"), repeat(literal("c"), 0, 1)));
  const matcher = new Grammars(vocabulary, logits).open({ key: "g", grammar });
  const expected = [["a"], ["b"], ["c", end]];
  for (const [step, want] of expected.entries()) {
    const ids = want.map((one) => (typeof one === "number" ? one : idOf(one)));
    expect(idsIn(matcher.allowed())).toEqual(ids);
    expect(matcher.ended).toBe(false);
    if (step < 2) matcher.accept(ids[0]!);
  }
  matcher.accept(idOf("c"));
  expect(matcher.ended).toBe(true);
  expect(idsIn(matcher.allowed())).toEqual([end]);
});

test("a token that ends an answer changes nothing", () => {
  const matcher = new Grammars(vocabulary, logits).open({ key: "g", grammar: alone(repeat(literal("a"))) });
  matcher.accept(end);
  expect(idsIn(matcher.allowed())).toEqual([idOf("a"), end]);
});

test("a token against the grammar is our own mistake", () => {
  const matcher = new Grammars(vocabulary, logits).open({ key: "g", grammar: alone(literal("ab")) });
  expect(() => matcher.accept(idOf("b"))).toThrow("drawn against the grammar");
});

test("where no token fits, the error says what remains", () => {
  const letters = ["a", "b"].map((letter) => new TextEncoder().encode(letter));
  const poor = vocabularyOf({
    vocabSize: 2,
    eosIds: [1],
    dropsFirstSpace: false,
    bytesOf: (id) => letters[id]!,
    isSpecial: () => false,
  });
  const matcher = new Grammars(poor, 2).open({ key: "g", grammar: alone(seq(literal("a"), literal("xyz"))) });
  matcher.accept(0);
  expect(() => matcher.allowed()).toThrow(
    expect.objectContaining({ code: "internal", message: expect.stringContaining('"xyz"') }),
  );
});

test("equal keys share what was learned; answers do not share their place", () => {
  const grammars = new Grammars(vocabulary, logits);
  const named = { key: "g", grammar: alone(seq(literal("a"), literal("b"))) };
  const [first, second] = [grammars.open(named), grammars.open(named)];
  first.accept(idOf("a"));
  expect(idsIn(first.allowed())).toEqual([idOf("b")]);
  expect(idsIn(second.allowed())).toEqual([idOf("a")]);
});

test("many grammars: the oldest are forgotten and made again", () => {
  const grammars = new Grammars(vocabulary, logits);
  for (let round = 0; round < 2; round++)
    for (let n = 0; n < 30; n++) {
      const matcher = grammars.open({ key: `g${n}`, grammar: alone(literal(String(n))) });
      expect(draw(matcher, generator(n))).toBe(String(n));
    }
});

test("an answer whose states have no end is ended, and the next one begins anew", () => {
  // Of numbers in a set every beginning is a state of its own.
  const schema = { type: "array", items: { type: "integer", multipleOf: 7 } };
  const named = { key: "g", grammar: schemaGrammar({ schema, path: "s", strict: true }) };
  const grammars = new Grammars(vocabulary, logits);
  const matcher = grammars.open(named);
  const write = (text: string) => {
    for (const character of text) matcher.accept(idOf(character));
  };
  write("[");
  const endless = () => {
    for (let n = 10 ** 14; ; n += 7 * 99_999_937) write(`${n - (n % 7)},`);
  };
  expect(endless).toThrow(expect.objectContaining({ code: "bad_request" }));
  expect(endless).toThrow("too complex to be followed");
  expect(draw(grammars.open(named), generator(1))).toMatch(/^\[/);
});

test("a step that has no end is ended", () => {
  const letters = repeat(chars([0x20, 0xffff]));
  const many = Array.from({ length: 20_000 }, (_, n) => seq(letters, literal(`${n}`), letters));
  const matcher = new Grammars(vocabulary, logits).open({ key: "g", grammar: alone(choice(...many)) });
  expect(() => matcher.allowed()).toThrow(expect.objectContaining({ code: "bad_request" }));
});

test("a grammar crosses a thread as it is", () => {
  const schema = { type: "array", items: { type: "integer", minimum: 5, maximum: 12 }, maxItems: 3 };
  const grammar = structuredClone(schemaGrammar({ schema, path: "s", strict: true }));
  const grammars = new Grammars(structuredClone(vocabulary), logits);
  for (let n = 0; n < 20; n++) {
    const value = JSON.parse(draw(grammars.open({ key: "", grammar }), generator(n))!) as number[];
    expect(value.every((one) => one >= 5 && one <= 12) && value.length <= 3).toBe(true);
  }
});
