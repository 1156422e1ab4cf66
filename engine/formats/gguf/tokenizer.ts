// The tokenizer and chat template of a GGUF file in the form of tokenizer.json and tokenizer_config.json. Two kinds of
// vocabulary are known: byte-level BPE ("gpt2"), whose way of cutting text into words has a name in the file, and
// SentencePiece's BPE ("llama"), whose merges follow from the scores.
import { EngineError } from "../../errors.ts";
import { arrayOf, tokenKinds, tokensOf, type GgufTokens } from "./tokens.ts";
import type { Metadata } from "./types.ts";

type Json = Readonly<Record<string, unknown>>;

export interface GgufTokenizer {
  readonly tokenizer: Json;
  readonly tokenizerConfig: Json;
}

/** Errors: unsupported_model (a kind of tokenizer, or a way of cutting, that we do not know), bad_checkpoint. */
export function tokenizerFromGguf(metadata: Metadata, path: string): GgufTokenizer {
  const kind = metadata.get("tokenizer.ggml.model");
  const tokens = tokensOf(metadata, path);
  const tokenizer =
    kind === "gpt2"
      ? byteLevel(metadata, tokens, path)
      : kind === "llama"
        ? sentencePiece(metadata, tokens)
        : undefined;
  if (tokenizer) return { tokenizer, tokenizerConfig: configOf(metadata, tokens) };
  const what = kind === undefined ? "is missing" : `is ${JSON.stringify(kind)}`;
  throw new EngineError(
    "unsupported_model",
    `${path}: metadata tokenizer.ggml.model ${what}; supported: gpt2, llama`,
  );
}

const contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const restOfWords = "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

interface Words {
  /** Undefined: the expression that byte-level BPE has of itself. */
  readonly pattern: string | undefined;
  /** Text is brought to Unicode's form NFC first. */
  readonly nfc: boolean;
  /** A word that is a token is that token, whatever the merges say. */
  readonly wholeWords: boolean;
}

const qwen2: Words = {
  pattern: `${contractions}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}${restOfWords}`,
  nfc: true,
  wholeWords: false,
};
const qwen35: Words = {
  ...qwen2,
  pattern:
    `${contractions}|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}` +
    restOfWords.replace("\\p{L}\\p{N}", "\\p{L}\\p{M}\\p{N}"),
};
const llama3: Words = {
  pattern: `${contractions}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}${restOfWords}`,
  nfc: false,
  wholeWords: true,
};
const gpt2: Words = { pattern: undefined, nfc: false, wholeWords: false };

/** tokenizer.ggml.pre → how text is cut into words. */
const wordsByName: Readonly<Record<string, Words>> = {
  ...{ qwen2, "deepseek-r1-qwen": qwen2, qwen35 },
  ...{ "llama-bpe": llama3, llama3, "llama-v3": llama3 },
  ...{ "gpt-2": gpt2, default: gpt2 },
};

function byteLevel(metadata: Metadata, tokens: GgufTokens, path: string): Json {
  const { pattern, nfc, wholeWords } = wordsOf(metadata, path);
  const merges = arrayOf(metadata, "tokenizer.ggml.merges", "string", path) ?? [];
  const level = {
    type: "ByteLevel",
    add_prefix_space: false,
    trim_offsets: true,
    use_regex: pattern === undefined,
  };
  const split = { type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false };
  const begins = metadata.get("tokenizer.ggml.add_bos_token") ?? wholeWords;
  return {
    ...shared(metadata, tokens, begins === true),
    normalizer: nfc ? { type: "NFC" } : null,
    pre_tokenizer: pattern === undefined ? level : { type: "Sequence", pretokenizers: [split, level] },
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      ...{
        type: "BPE",
        dropout: null,
        unk_token: null,
        continuing_subword_prefix: null,
        end_of_word_suffix: null,
      },
      ...{ fuse_unk: false, byte_fallback: false, ignore_merges: wholeWords },
      vocab: vocabOf(tokens),
      merges: merges.map((merge) => splitAtSpace(merge)),
    },
  };
}

/** The name under which GGUF knows a tokenizer's way of cutting words; undefined: none that we know. */
export function wordsName(tokenizer: Json): string | undefined {
  const text = JSON.stringify(tokenizer["pre_tokenizer"]);
  const names = Object.entries(wordsByName);
  return names.find(([, { pattern }]) => pattern && text.includes(JSON.stringify({ Regex: pattern })))?.[0];
}

function wordsOf(metadata: Metadata, path: string): Words {
  const name = metadata.get("tokenizer.ggml.pre") ?? "default";
  const words = Object.hasOwn(wordsByName, String(name)) ? wordsByName[String(name)] : undefined;
  if (words) return words;
  throw new EngineError(
    "unsupported_model",
    `${path}: metadata tokenizer.ggml.pre is ${JSON.stringify(name)}; supported: ${Object.keys(wordsByName).join(", ")}`,
  );
}

/** The space between the two parts; a part may not be empty, but may begin with what looks like one. */
function splitAtSpace(merge: string): [string, string] {
  const at = merge.indexOf(" ", 1);
  return [merge.slice(0, at), merge.slice(at + 1)];
}

const space = "\u2581";

function sentencePiece(metadata: Metadata, tokens: GgufTokens): Json {
  const unknown = tokens.kinds.indexOf(tokenKinds.unknown);
  const prefix = metadata.get("tokenizer.ggml.add_space_prefix") !== false;
  const replace = { type: "Replace", pattern: { String: " " }, content: space };
  const restore = { type: "Replace", pattern: { String: space }, content: " " };
  const decoders = [restore, { type: "ByteFallback" }, { type: "Fuse" }];
  return {
    ...shared(metadata, tokens, metadata.get("tokenizer.ggml.add_bos_token") !== false),
    normalizer: {
      type: "Sequence",
      normalizers: [...(prefix ? [{ type: "Prepend", prepend: space }] : []), replace],
    },
    pre_tokenizer: null,
    decoder: {
      type: "Sequence",
      decoders: prefix ? [...decoders, { type: "Strip", content: " ", start: 1, stop: 0 }] : decoders,
    },
    model: {
      ...{ type: "BPE", dropout: null, continuing_subword_prefix: null, end_of_word_suffix: null },
      ...{ fuse_unk: true, byte_fallback: true, ignore_merges: false },
      unk_token: unknown < 0 ? null : tokens.texts[unknown],
      vocab: vocabOf(tokens),
      merges: mergesOf(tokens),
    },
  };
}

/** Every way to make a token out of two others, the token of the best score first. */
function mergesOf({ texts, kinds, scores }: GgufTokens): [string, string][] {
  const ids = new Map(texts.map((text, id) => [text, id]));
  const made = texts
    .map((text, id) => ({ text, id, score: scores?.[id] ?? -id }))
    .filter(({ id }) => kinds[id] === tokenKinds.normal || kinds[id] === tokenKinds.userDefined)
    .sort((a, b) => b.score - a.score || a.id - b.id);
  return made.flatMap(({ text }) => {
    const characters = [...text];
    const pairs = characters
      .slice(1)
      .map((_, i): [string, string] => [
        characters.slice(0, i + 1).join(""),
        characters.slice(i + 1).join(""),
      ]);
    const known = pairs.filter(([left, right]) => ids.has(left) && ids.has(right));
    return known.sort((a, b) => ids.get(a[0])! - ids.get(b[0])! || ids.get(a[1])! - ids.get(b[1])!);
  });
}

function shared(metadata: Metadata, { texts, kinds }: GgufTokens, begins: boolean): Json {
  const added = texts
    .map((content, id) => ({ id, content, kind: kinds[id] }))
    .filter(
      ({ kind }) =>
        kind === tokenKinds.control || kind === tokenKinds.userDefined || kind === tokenKinds.unknown,
    );
  const bos = metadata.get("tokenizer.ggml.bos_token_id");
  return {
    ...{ version: "1.0", truncation: null, padding: null },
    added_tokens: added.map(({ id, content, kind }) => ({
      ...{ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false },
      special: kind !== tokenKinds.userDefined,
    })),
    post_processor: begins && typeof bos === "number" ? beginWith(texts[bos]!, bos) : null,
  };
}

function beginWith(content: string, id: number): Json {
  const special = { SpecialToken: { id: content, type_id: 0 } };
  return {
    type: "TemplateProcessing",
    single: [special, { Sequence: { id: "A", type_id: 0 } }],
    pair: [special, { Sequence: { id: "A", type_id: 0 } }, { Sequence: { id: "B", type_id: 1 } }],
    special_tokens: { [content]: { id: content, ids: [id], tokens: [content] } },
  };
}

/** What the model itself is made of; tokens that are added to it, and those without a use, are not. */
function vocabOf({ texts, kinds }: GgufTokens): Json {
  const { normal, byte, unknown } = tokenKinds;
  const own = new Set<number>([normal, byte, unknown]);
  return Object.fromEntries(
    texts.map((text, id) => [text, id] as const).filter(([, id]) => own.has(kinds[id]!)),
  );
}

function configOf(metadata: Metadata, { texts }: GgufTokens): Json {
  const text = (name: string) => {
    const id = metadata.get(`tokenizer.ggml.${name}_token_id`);
    return typeof id === "number" ? texts[id] : undefined;
  };
  const settings = {
    bos_token: text("bos"),
    eos_token: text("eos"),
    unk_token: text("unknown"),
    pad_token: text("padding"),
    chat_template: templatesOf(metadata),
  };
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined));
}

/** The template, or all of them by name where the file has several. */
function templatesOf(metadata: Metadata): unknown {
  const main = metadata.get("tokenizer.chat_template");
  const prefix = "tokenizer.chat_template.";
  const named = [...metadata]
    .filter(([key, value]) => key.startsWith(prefix) && typeof value === "string")
    .map(([key, template]) => ({ name: key.slice(prefix.length), template }));
  if (named.length === 0) return typeof main === "string" ? main : undefined;
  return typeof main === "string" ? [{ name: "default", template: main }, ...named] : named;
}
