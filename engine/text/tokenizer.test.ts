import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { packageRoot } from "../root.ts";
import { createTokenizer, loadTokenizer } from "./tokenizer.ts";
import type { Tokenizer } from "./tokenizer.ts";
import { demoModel, referenceFolders } from "./fixtures.fixture.ts";

interface EncodeCase {
  text: string;
  ids: number[];
  ids_with_special: number[];
  decoded: string;
  decoded_skip_special: string;
}

const folders = referenceFolders("tokenizer_cases.json");

test("there are fixtures to test with", () => {
  expect(folders.length).toBeGreaterThanOrEqual(3);
  expect(existsSync(join(packageRoot, "package.json"))).toBe(true);
});

describe.each(folders)("%s", (_, folder) => {
  const cases = JSON.parse(readFileSync(join(folder, "tokenizer_cases.json"), "utf8")) as {
    encode: EncodeCase[];
  };

  test.each(cases.encode)("$text", async (c) => {
    const tokenizer = await loadTokenizer(folder);
    expect(tokenizer.encode(c.text, { special: false })).toEqual(c.ids);
    expect(tokenizer.encode(c.text, { special: true })).toEqual(c.ids_with_special);
    expect(tokenizer.decode(c.ids, { special: true })).toBe(c.decoded);
    expect(tokenizer.decode(c.ids)).toBe(c.decoded_skip_special);
    expect(tokenizer.decode(c.ids_with_special)).toBe(c.decoded_skip_special);
  });

  test("bytes of any text's tokens, joined, are the text's own", async () => {
    const tokenizer = await loadTokenizer(folder);
    for (const { decoded, ids } of cases.encode) {
      const bytes = ids.flatMap((id) => [...tokenizer.bytesOf(id)]);
      expect(Buffer.from(bytes).toString("utf8")).toBe(decoded);
    }
  });

  test("random ids: the pushed pieces are the whole decoded, and never half a character", async () => {
    const tokenizer = await loadTokenizer(folder);
    const random = generator(5);
    for (let n = 0; n < 300; n++) {
      const ids = Array.from({ length: 1 + (n % 40) }, () =>
        Math.floor(random() * (tokenizer.vocabSize + 3)),
      );
      for (const special of [true, false]) {
        const detokenizer = tokenizer.detokenizer({ special });
        const pieces = ids.map((id) => detokenizer.push(id));
        const text = pieces.join("") + detokenizer.flush();
        expect(text).toBe(tokenizer.decode(ids, { special }));
        expect(text).toBe(plainDecode(tokenizer, ids, special));
        for (const piece of pieces) expect(piece).not.toMatch(/\p{Surrogate}/u);
      }
    }
  });
});

/** The slow twin: all bytes in one array, decoded once. */
function plainDecode(tokenizer: Tokenizer, ids: number[], special: boolean): string {
  const visible = ids.filter((id) => special || !tokenizer.isSpecial(id));
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(
    Uint8Array.from(visible.flatMap((id) => [...tokenizer.bytesOf(id)])),
  );
}

function generator(seed: number): () => number {
  let state = seed;
  return () => (state = (state * 48271) % 2147483647) / 2147483647;
}

describe("the demo model", () => {
  test("special ids, eos and markers", async () => {
    const tokenizer = await loadTokenizer(demoModel);
    expect(tokenizer.vocabSize).toBe(1536);
    expect(tokenizer.eosIds).toEqual([1512, 1510]);
    expect([tokenizer.bosToken, tokenizer.eosToken]).toEqual([undefined, "<|im_end|>"]);
    expect(tokenizer.idOf("</think>")).toBe(1535);
    expect(tokenizer.isSpecial(1512)).toBe(true);
    expect(tokenizer.isSpecial(1524)).toBe(false); // <tool_call> is text
    expect(new TextDecoder().decode(tokenizer.bytesOf(1512))).toBe("<|im_end|>");
    expect(tokenizer.bytesOf(1536)).toEqual(new Uint8Array());
  });

  test("emoji and CJK over several tokens come out whole, and only when whole", async () => {
    const tokenizer = await loadTokenizer(demoModel);
    const text = "a👩‍👩‍👧界é";
    const ids = tokenizer.encode(text, { special: false });
    expect(ids.length).toBeGreaterThan(10);
    const detokenizer = tokenizer.detokenizer();
    const pieces = ids.map((id) => detokenizer.push(id));
    expect(pieces.filter((piece) => piece !== "")).toEqual([...text]);
    expect(detokenizer.flush()).toBe("");
  });

  test("an unfinished character is U+FFFD, once, at the end or where another begins", async () => {
    const tokenizer = await loadTokenizer(demoModel);
    const smile = tokenizer.encode("🙂", { special: false });
    const a = tokenizer.encode("a", { special: false });
    const broken = smile.slice(0, 2);
    expect(tokenizer.decode([...a, ...broken])).toBe("a\uFFFD");
    expect(tokenizer.decode([...broken, ...a])).toBe("\uFFFDa");
  });
});

// A SentencePiece vocabulary as Llama 2 and Mistral have it: '▁' for spaces, raw bytes as <0xNN>.
const vocab = Object.fromEntries(
  ["<unk>", "<s>", "</s>", "<0xF0>", "<0x9F>", "<0x99>", "<0x82>", "<0x0A>"]
    .concat(["▁", "h", "i", "▁h", "▁hi", "é"])
    .map((token, id) => [token, id]),
);
const sentencePiece = {
  version: "1.0",
  added_tokens: ["<unk>", "<s>", "</s>"].map((content, id) => ({ id, content, special: true })),
  normalizer: {
    type: "Sequence",
    normalizers: [
      { type: "Prepend", prepend: "▁" },
      { type: "Replace", pattern: { String: " " }, content: "▁" },
    ],
  },
  pre_tokenizer: null,
  post_processor: {
    type: "TemplateProcessing",
    single: [{ SpecialToken: { id: "<s>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
    pair: [],
    special_tokens: { "<s>": { id: "<s>", ids: [1], tokens: ["<s>"] } },
  },
  decoder: {
    type: "Sequence",
    decoders: [
      { type: "Replace", pattern: { String: "▁" }, content: " " },
      { type: "ByteFallback" },
      { type: "Fuse" },
      { type: "Strip", content: " ", start: 1, stop: 0 },
    ],
  },
  model: {
    type: "BPE",
    vocab,
    merges: ["▁ h", "▁h i"],
    byte_fallback: true,
    unk_token: "<unk>",
    fuse_unk: true,
  },
};

describe("a SentencePiece tokenizer", () => {
  const tokenizer = createTokenizer({
    tokenizer: sentencePiece,
    tokenizerConfig: { eos_token: { content: "</s>" }, bos_token: "<s>" },
    generationConfig: { eos_token_id: 2 },
    config: { text_config: { eos_token_id: [2, 7] } },
  });

  test("encodes with a BOS only when asked, and falls back to bytes", () => {
    expect(tokenizer.encode("hi 🙂", { special: true })).toEqual([1, 12, 8, 3, 4, 5, 6]);
    expect(tokenizer.encode("hi", { special: false })).toEqual([12]);
  });

  test("drops the first space of a text, but not of its continuation", () => {
    expect(tokenizer.decode([1, 12, 12, 8, 3, 4, 5, 6, 2])).toBe("hi hi 🙂");
    expect(tokenizer.decode([12, 12], { continues: true })).toBe(" hi hi");
    const detokenizer = tokenizer.detokenizer();
    expect([1, 8, 12, 3, 4, 5, 6, 13].map((id) => detokenizer.push(id))).toEqual([
      "",
      "",
      " hi",
      "",
      "",
      "",
      "🙂",
      "é",
    ]);
  });

  test("bytes: raw ones, spaces, and specials as they are written", () => {
    expect([...tokenizer.bytesOf(7)]).toEqual([10]);
    expect([...tokenizer.bytesOf(12)]).toEqual([32, 104, 105]);
    expect(new TextDecoder().decode(tokenizer.bytesOf(2))).toBe("</s>");
  });

  test("every eos id once, from all the places that name one", () => {
    expect(tokenizer.eosIds).toEqual([2, 7]);
    expect(tokenizer.isSpecial(7)).toBe(true);
  });
});

test("a decoder that cannot be turned into bytes is refused by name", () => {
  const files = { tokenizer: { ...sentencePiece, decoder: { type: "WordPiece" } } };
  expect(() => createTokenizer(files)).toThrow(/decoder WordPiece is not supported/);
});

test("tokens that only tokenizer_config.json knows", () => {
  const tokenizer = createTokenizer({
    tokenizer: sentencePiece,
    tokenizerConfig: { added_tokens_decoder: { 14: { content: "<think>", special: false } } },
  });
  expect(tokenizer.idOf("<think>")).toBe(14);
  expect(tokenizer.vocabSize).toBe(15);
  expect(tokenizer.decode([14])).toBe("<think>");
});

test("a folder without tokenizer.json says so", async () => {
  await expect(loadTokenizer(packageRoot)).rejects.toThrow(/no tokenizer\.json/);
});
