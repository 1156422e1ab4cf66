// The tokenizer of a GGUF file against the one it was made from: byte-level ones of our fixtures, written into metadata
// and back, and SentencePiece's own answers.
import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { demoModel, referenceFolders } from "../../../test-fixtures/golden.ts";
import { packageRoot } from "../../root.ts";
import { createTokenizer, loadTokenizer, type Tokenizer } from "../../text/tokenizer.ts";
import { openCheckpoint } from "../checkpoint.ts";
import { generationFromGguf } from "./config.ts";
import { metadataOf } from "./metadata.ts";
import { shapeOf } from "./shape.ts";
import { tokenizerFromGguf } from "./tokenizer.ts";
import { endTokens } from "./tokens.ts";
import type { GgufValue } from "./types.ts";

type Json = Record<string, unknown>;
const read = (...path: string[]) => JSON.parse(readFileSync(join(...path), "utf8")) as Json;

const texts = [
  "Hello World 123 it's",
  "Grüße, was ist 12345? don't",
  "  leading spaces\n\n\tand tabs  ",
  "<|im_start|>user\nhi<|im_end|>\n",
  "\u0928\u092e\u0938\u094d\u0924\u0947 \u65e5\u672c\u8a9e \u{1f600} e\u0301",
  "",
];

async function metadataFrom(folder: string): Promise<Map<string, GgufValue>> {
  const checkpoint = await openCheckpoint(folder);
  await checkpoint.close();
  const text = {
    tokenizer: read(folder, "tokenizer.json"),
    tokenizerConfig: read(folder, "tokenizer_config.json"),
    chatTemplate: readFileSync(join(folder, "chat_template.jinja"), "utf8"),
  };
  const typed = metadataOf(checkpoint, shapeOf(checkpoint), text);
  return new Map(Object.entries(typed).map(([key, [, value]]) => [key, value as GgufValue]));
}

const own = join(packageRoot, "test-fixtures", "reference");
/** Of which GGUF has other tensors: none is written. */
const isMixture = (folder: string) =>
  "num_experts" in ((read(folder, "config.json")["text_config"] as Json) ?? {});
const written = referenceFolders().filter((folder) => folder.startsWith(own) && !isMixture(folder));
const folders = [demoModel, ...written];

describe.each(folders.map((folder) => ({ name: basename(folder), folder })))("$name", ({ folder }) => {
  let original: Tokenizer;
  let ours: Tokenizer;
  let metadata: Map<string, GgufValue>;
  beforeAll(async () => {
    original = await loadTokenizer(folder);
    metadata = await metadataFrom(folder);
    const files = tokenizerFromGguf(metadata, "file.gguf");
    ours = createTokenizer({ ...files, generationConfig: generationFromGguf(metadata) });
  });

  test("cuts texts as the original does", () => {
    for (const text of texts) {
      for (const special of [false, true]) {
        expect(ours.encode(text, { special }), `${text} ${special}`).toEqual(
          original.encode(text, { special }),
        );
      }
    }
  });

  test("puts them together again, knows what is special and what ends an answer", () => {
    const all = Array.from({ length: original.vocabSize }, (_, id) => id);
    for (const id of all) expect([...ours.bytesOf(id)], `bytes of ${id}`).toEqual([...original.bytesOf(id)]);
    expect(all.filter((id) => ours.isSpecial(id))).toEqual(all.filter((id) => original.isSpecial(id)));
    expect(ours.vocabSize).toBe(original.vocabSize);
    expect([ours.bosToken, ours.eosToken]).toEqual([original.bosToken, original.eosToken]);
    expect(ours.eosIds).toEqual(expect.arrayContaining(original.eosIds as number[]));
  });

  test("has the chat template", () => {
    const { tokenizerConfig } = tokenizerFromGguf(metadata, "file.gguf");
    expect(tokenizerConfig["chat_template"]).toBe(readFileSync(join(folder, "chat_template.jinja"), "utf8"));
  });
});

test("ids that llama.cpp gives for the demo model's tokenizer", async () => {
  const ours = createTokenizer(tokenizerFromGguf(await metadataFrom(demoModel), "file.gguf"));
  expect(ours.encode("Grüße, was ist 123? don't", { special: true })).toEqual([
    38, 81, 127, 120, 127, 253, 68, 11, 397, 220, 267, 220, 16, 17, 18, 30, 311, 276, 6, 83,
  ]);
});

describe("SentencePiece", () => {
  const cases = read(packageRoot, "test-fixtures", "sentencepiece", "cases.json") as {
    tokens: string[];
    scores: number[];
    kinds: number[];
    texts: { text: string; ids: number[] }[];
  };
  const metadata = (more: Record<string, GgufValue> = {}) =>
    new Map<string, GgufValue>(
      Object.entries({
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": cases.tokens,
        "tokenizer.ggml.scores": cases.scores,
        "tokenizer.ggml.token_type": cases.kinds,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
        ...more,
      }),
    );
  const tokenizer = createTokenizer(tokenizerFromGguf(metadata(), "file.gguf"));

  test.each(cases.texts)("$text", ({ text, ids }) => {
    expect(tokenizer.encode(text, { special: false })).toEqual(ids);
    expect(tokenizer.decode(ids)).toBe(text);
  });

  test("a plain text begins with BOS, unless the file says not", () => {
    expect(tokenizer.encode("fox", { special: true })[0]).toBe(1);
    const without = metadata({ "tokenizer.ggml.add_bos_token": false });
    const other = createTokenizer(tokenizerFromGguf(without, "file.gguf"));
    expect(other.encode("fox", { special: true })).toEqual(tokenizer.encode("fox", { special: false }));
    expect(tokenizer.eosIds).toEqual([2]);
    expect(tokenizer.eosToken).toBe("</s>");
  });

  test("no space in front, where the file says so", () => {
    const without = metadata({ "tokenizer.ggml.add_space_prefix": false });
    const other = createTokenizer(tokenizerFromGguf(without, "file.gguf"));
    const ids = other.encode("the fox", { special: false });
    expect(ids).not.toEqual(tokenizer.encode("the fox", { special: false }));
    expect(other.decode(ids)).toBe("the fox");
  });
});

describe("refusals", () => {
  const tokens = { "tokenizer.ggml.tokens": ["a", "b"] };
  test.each<[string, Record<string, GgufValue>, string, string]>([
    ["no tokenizer", {}, "bad_checkpoint", "has no metadata tokenizer.ggml.tokens"],
    [
      "no kind",
      tokens,
      "unsupported_model",
      "metadata tokenizer.ggml.model is missing; supported: gpt2, llama",
    ],
    ["another kind", { ...tokens, "tokenizer.ggml.model": "bert" }, "unsupported_model", 'is "bert"'],
    [
      "words cut in another way",
      { ...tokens, "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "tekken" },
      "unsupported_model",
      'metadata tokenizer.ggml.pre is "tekken"; supported: qwen2,',
    ],
    [
      "kinds for other tokens",
      { ...tokens, "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.token_type": [1] },
      "bad_checkpoint",
      "metadata tokenizer.ggml.token_type has 1 values for 2 tokens",
    ],
    [
      "a token that is a number",
      { "tokenizer.ggml.tokens": ["a", 5], "tokenizer.ggml.model": "gpt2" },
      "bad_checkpoint",
      "metadata tokenizer.ggml.tokens has 5 at 1: a string is expected",
    ],
    [
      "tokens that are no array",
      { "tokenizer.ggml.tokens": "abc", "tokenizer.ggml.model": "gpt2" },
      "bad_checkpoint",
      "metadata tokenizer.ggml.tokens is abc: an array is expected",
    ],
  ])("%s", (_, metadata, code, message) => {
    const attempt = () => tokenizerFromGguf(new Map(Object.entries(metadata)), "file.gguf");
    expect(attempt).toThrow(expect.objectContaining({ code }));
    expect(attempt).toThrow(message);
  });
});

test("several chat templates go by their names", () => {
  const metadata = new Map<string, GgufValue>([
    ["tokenizer.ggml.model", "gpt2"],
    ["tokenizer.ggml.tokens", ["a"]],
    ["tokenizer.chat_template", "plain"],
    ["tokenizer.chat_template.tool_use", "tools"],
  ]);
  expect(tokenizerFromGguf(metadata, "file.gguf").tokenizerConfig).toEqual({
    chat_template: [
      { name: "default", template: "plain" },
      { name: "tool_use", template: "tools" },
    ],
  });
});

test("an answer ends with what the file names, and with what is known to end one", () => {
  const metadata = new Map<string, GgufValue>([
    ["tokenizer.ggml.tokens", ["<|endoftext|>", "<|im_end|>", "x", "</s>", "<|eot_id|>"]],
    ["tokenizer.ggml.token_type", [3, 3, 1, 1, 3]],
    ["tokenizer.ggml.eos_token_id", 1],
    ["tokenizer.ggml.eom_token_id", 2],
  ]);
  expect(endTokens(metadata)).toEqual([1, 2, 0, 4]);
  expect(endTokens(new Map())).toBeUndefined();
});
