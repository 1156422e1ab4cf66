// Masks against a slow twin (every token, byte by byte), and against XGrammar.
import { describe, expect, test } from "vitest";
import { FAILED, Expressions } from "./expression.ts";
import {
  choice,
  chars,
  literal,
  repeat,
  seq,
  textUntil,
  textWithout,
  type Grammar,
  type Part,
} from "./grammar.ts";
import { Masks } from "./masks.ts";
import { Grammars } from "./matcher.ts";
import { everything } from "./ranges.ts";
import { schemaGrammar } from "./schema.ts";
import { tokenTree } from "./vocabulary.ts";
import { end, generator, idsIn, logits, tokens, vocabulary } from "./walk.fixture.ts";
import { otherEngine } from "./xgrammar.fixture.ts";

const bySchema = (schema: unknown) => schemaGrammar({ schema, path: "schema", strict: true });
const alone = (root: Part): Grammar => ({ root, rules: new Map() });

const expressible: [string, Grammar][] = [
  ["any value", bySchema({})],
  ["any object", bySchema({ type: "object" })],
  [
    "an object",
    bySchema({
      type: "object",
      properties: {
        name: { type: "string" },
        kind: { enum: ["red", "reddish", "blue", null, 7] },
        tags: { type: "array", items: { type: "string", maxLength: 3 }, minItems: 1 },
        ok: { type: "boolean" },
      },
      required: ["kind", "tags"],
    }),
  ],
  [
    "nothing but optional",
    bySchema({ type: "object", properties: { a: { type: "null" }, ab: { type: "null" }, b: true } }),
  ],
  ["a text of up to 5", bySchema({ type: "string", maxLength: 5 })],
  ["a text of 2 to 300", bySchema({ type: "string", minLength: 2, maxLength: 300 })],
  ["a pattern", bySchema({ type: "string", pattern: "^(\\([0-9]{3}\\))? ?[0-9]{3}-\\w*$" })],
  ["a search", bySchema({ type: "string", pattern: "the[^e]*12" })],
  ["a date", bySchema({ type: "string", format: "date" })],
  [
    "names that are not taken",
    bySchema({ properties: { the: { type: "null" } }, additionalProperties: { type: "null" } }),
  ],
  [
    "itself",
    bySchema({
      type: "object",
      properties: { next: { anyOf: [{ $ref: "#" }, { type: "null" }] } },
      required: ["next"],
    }),
  ],
  [
    "two ways at once",
    alone(choice(seq(repeat(literal("12"), 0, 3), literal("1")), repeat(literal("1"), 2))),
  ],
];

const others: [string, Grammar][] = [
  ["characters of four bytes", alone(repeat(chars([0xe9, 0xe9, 0x65e5, 0x65e5, 0x1f642, 0x1f644]), 1, 4))],
  [
    "numbers",
    bySchema({ type: "array", items: { type: "number", minimum: -1.25, maximum: 120, multipleOf: 0.25 } }),
  ],
  ["up to a tag", alone(seq(textUntil("</think>"), literal("\n"), repeat(literal("é"), 0, 2)))],
  ["counted, up to a tag", alone(textUntil("\n</parameter>", { min: 3, max: 9 }))],
  ["without words", alone(textWithout(["<tool_call>", "true"]))],
  [
    "up to a tag, without a word",
    alone(seq(textUntil("</think>", { without: ["<tool_call>"] }), literal("}"))),
  ],
  [
    "a text or a value",
    alone(choice(textUntil("</think>"), seq(literal("the"), repeat(chars(everything), 0, 3)))),
  ],
];

/** Every token by itself. */
function slowly(expressions: Expressions, state: number): number[] {
  return tokens.flatMap((bytes, id) => {
    if (bytes.length === 0 || id === end) return [];
    const after = bytes.reduce((at, byte) => expressions.step(at, byte), state);
    return after === FAILED ? [] : [id];
  });
}

/** Follows random answers, and calls `look` at each state. */
function wander(
  grammar: Grammar,
  seed: number,
  look: (expressions: Expressions, masks: Masks, state: number) => void,
): void {
  const expressions = new Expressions(grammar);
  const masks = new Masks(expressions, tokenTree(vocabulary), logits);
  const random = generator(seed);
  for (let walk = 0; walk < 6; walk++) {
    let state = expressions.root;
    for (let step = 0; step < 40; step++) {
      look(expressions, masks, state);
      const ids = idsIn(masks.allowed(state)).filter((id) => id !== end);
      if (ids.length === 0) break;
      const id = ids[Math.floor(random() * ids.length)]!;
      state = tokens[id]!.reduce((at, byte) => expressions.step(at, byte), state);
    }
  }
}

describe.each([...expressible, ...others])("%s", (_, grammar) => {
  test("the mask is what every token by itself says", () => {
    wander(grammar, 5, (expressions, masks, state) => {
      expect(idsIn(masks.allowed(state))).toEqual(slowly(expressions, state));
    });
  });

  test("whatever may come can be gone on with", () => {
    wander(grammar, 6, (expressions, masks, state) => {
      const ids = idsIn(masks.allowed(state));
      expect(ids.length > 0 || expressions.isNullable(state), expressions.describe(state)).toBe(true);
    });
  });
});

/** Whole characters: of broken UTF-8, and of ids without text, it allows more than a text may have. */
const isText = (id: number) =>
  id === end || (tokens[id]?.length && !Buffer.from(tokens[id]).toString().includes("\ufffd"));

describe("XGrammar says the same", async () => {
  const compile = await otherEngine();
  test.each(expressible)("%s", async (_, grammar) => {
    const random = generator(8);
    for (let walk = 0; walk < 4; walk++) {
      const other = await compile(grammar);
      const matcher = new Grammars(vocabulary, logits).open({ key: "", grammar });
      for (let step = 0; step < 30; step++) {
        const ids = idsIn(matcher.allowed()).filter(isText);
        expect(ids).toEqual(idsIn(new Uint32Array(await other.allowed())).filter(isText));
        const id = ids[Math.floor(random() * ids.length)]!;
        expect(other.accept(id)).toBe(true);
        if (id === end) break;
        matcher.accept(id);
      }
    }
  });
});

test("the comparison would notice one token too many", () => {
  const expressions = new Expressions(alone(literal("true")));
  const masks = new Masks(expressions, tokenTree(vocabulary), logits);
  const mask = masks.allowed(expressions.root).slice();
  mask[0]! |= 1 << 7;
  expect(idsIn(mask)).not.toEqual(slowly(expressions, expressions.root));
});

test("the tree holds every token once, under its bytes", () => {
  const { byte, depth, end: ends, from, own, order, parent } = tokenTree(vocabulary);
  const seen: number[] = [];
  for (let node = 0; node < byte.length; node++) {
    const path: number[] = [];
    for (let at = node; at > 0; at = parent[at]!) path.unshift(byte[at]!);
    expect(path.length).toBe(depth[node]);
    for (let k = from[node]!; k < from[node]! + own[node]!; k++) {
      seen.push(order[k]!);
      expect([...tokens[order[k]!]!]).toEqual(path);
    }
    for (let inside = node + 1; inside < ends[node]!; inside++)
      expect(depth[inside]).toBeGreaterThan(depth[node]!);
  }
  const all = tokens.flatMap((bytes, id) => (bytes.length === 0 || id === end ? [] : [id]));
  expect(seen.sort((a, b) => a - b)).toEqual(all);
});
