// What the tests of grammars share: a small vocabulary, random answers drawn under a grammar, and validators of others.
import { Ajv } from "ajv";
import { Ajv2020 } from "ajv/dist/2020.js";
import * as ajvFormats from "ajv-formats";
import { Expressions, FAILED } from "./expression.ts";
import type { Grammar } from "./grammar.ts";
import type { Matcher } from "./matcher.ts";
import { vocabularyOf, type Vocabulary } from "./vocabulary.ts";

const words = [
  ...[
    "true",
    "false",
    "null",
    '": ',
    '", "',
    '{"',
    '"}',
    "\n  ",
    " ",
    "12",
    "the",
    "é",
    "日本",
    "\\u",
    "00",
    ', "',
    "},",
  ],
  ...[
    "<think>",
    "</think>",
    "<tool_call>",
    "</tool_call>",
    "<function=",
    "<parameter=",
    "\n</parameter>",
    "\n<tool_call>",
    "🙂🙂",
    "\\n",
  ],
  "true",
];

/** Every byte, some longer tokens (two of them with the same bytes), an end token, and ids without text. */
export const tokens: readonly Uint8Array[] = [
  ...Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte)),
  ...words.map((word) => new TextEncoder().encode(word)),
  new Uint8Array(),
  new TextEncoder().encode("<|end|>"),
];
export const end = tokens.length - 1;
/** As a model may have: more logits than tokens. */
export const logits = tokens.length + 37;

export const vocabulary: Vocabulary = vocabularyOf({
  vocabSize: tokens.length,
  eosIds: [end],
  dropsFirstSpace: false,
  bytesOf: (id) => tokens[id]!,
  isSpecial: (id) => id === end,
});

const tagIds = tokens.flatMap((bytes, id) =>
  /^\n?<\/?[a-z_]+>$/.test(Buffer.from(bytes).toString()) ? [id] : [],
);

/** A generator of another family than the sampler's. */
export function generator(seed: number): () => number {
  let state = (seed * 7919 + 17) % 2147483647;
  return () => (state = (state * 48271) % 2147483647) / 2147483647;
}

export function idsIn(mask: Uint32Array): number[] {
  return Array.from({ length: mask.length * 32 }, (_, id) => id).filter(
    (id) => (mask[id >> 5]! >>> (id & 31)) & 1,
  );
}

/** Draws until the grammar ends, steering towards the end when it gets long; undefined where it does not get there. */
export function draw(matcher: Matcher, random: () => number, most = 600): string | undefined {
  const bytes: number[] = [];
  for (let step = 0; step < most; step++) {
    if (matcher.ended) return Buffer.from(bytes).toString();
    const id = pick(idsIn(matcher.allowed()), step, random);
    if (id === end) return Buffer.from(bytes).toString();
    matcher.accept(id);
    bytes.push(...tokens[id]!);
  }
  return undefined;
}

function pick(ids: readonly number[], step: number, random: () => number): number {
  const among = (wanted: readonly number[]) => wanted[Math.floor(random() * wanted.length)];
  if (step > 25 && ids.includes(end) && random() < 0.3) return end;
  // What no chance would spell out.
  const tags = ids.filter((id) => tagIds.includes(id));
  if (tags.length > 0 && random() < 0.15) return among(tags)!;
  const closing = ids.filter((id) => '"]}>'.includes(String.fromCharCode(id)) && id < 256);
  if (step > 50 && closing.length > 0 && random() < 0.4) return among(closing)!;
  const solid = ids.filter((id) => !(id < 256 && " \n\t".includes(String.fromCharCode(id))));
  return (random() < 0.9 && among(solid)) || among(ids)!;
}

/** Tells whether the grammar has a text. */
export function accepter(grammar: Grammar): (text: string) => boolean {
  const expressions = new Expressions(grammar);
  return (text) => {
    const bytes = new TextEncoder().encode(text);
    const state = bytes.reduce((at, byte) => expressions.step(at, byte), expressions.root);
    return state !== FAILED && expressions.isNullable(state);
  };
}

const ajv = new Ajv2020({ strict: false, logger: false, allowUnionTypes: true });
ajvFormats.default.default(ajv);

/** Of the draft that the schema is written in, by the look of it. */
export function validator(schema: unknown): (value: unknown) => boolean {
  const isOld = Array.isArray((schema as { items?: unknown }).items);
  const validate = (isOld ? new Ajv({ strict: false }) : ajv).compile(schema as object);
  return (value) => validate(value);
}
