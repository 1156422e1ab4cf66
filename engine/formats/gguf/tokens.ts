// The vocabulary of a GGUF file: texts and kinds of its tokens, and which of them end an answer.
import { bad } from "../header.ts";
import type { Metadata } from "./types.ts";

/** Kinds of tokens by their numbers. */
export const tokenKinds = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

export interface GgufTokens {
  readonly texts: readonly string[];
  readonly kinds: readonly number[];
  /** Absent for byte-level vocabularies. */
  readonly scores: readonly number[] | undefined;
}

/** Errors: bad_checkpoint when the arrays are missing or do not fit together. */
export function tokensOf(metadata: Metadata, path: string): GgufTokens {
  const texts = arrayOf(metadata, "tokenizer.ggml.tokens", "string", path);
  if (!texts) throw bad(path, "has no metadata tokenizer.ggml.tokens: the file has no tokenizer");
  const kinds = arrayOf(metadata, "tokenizer.ggml.token_type", "number", path);
  const scores = arrayOf(metadata, "tokenizer.ggml.scores", "number", path);
  for (const [key, array] of Object.entries({ token_type: kinds, scores })) {
    if (array && array.length !== texts.length) {
      throw bad(path, `metadata tokenizer.ggml.${key} has ${array.length} values for ${texts.length} tokens`);
    }
  }
  return { texts, kinds: kinds ?? texts.map(() => tokenKinds.normal), scores };
}

interface Kinds {
  string: string;
  number: number;
}

export function arrayOf<K extends keyof Kinds>(
  metadata: Metadata,
  key: string,
  kind: K,
  path: string,
): readonly Kinds[K][] | undefined {
  const value = metadata.get(key);
  if (value === undefined) return undefined;
  if (!Array.isArray(value))
    throw bad(path, `metadata ${key} is ${String(value).slice(0, 60)}: an array is expected`);
  const wrong = value.findIndex((one) => typeof one !== kind);
  if (wrong >= 0)
    throw bad(path, `metadata ${key} has ${String(value[wrong])} at ${wrong}: a ${kind} is expected`);
  return value as Kinds[K][];
}

/** What ends a turn in the chat formats that we know, where a file names but one of several. */
const endTexts = new Set([
  ...["<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "<|eom_id|>", "<|end|>", "</s>"],
]);

/** Ids that end an answer: those that the file names, and control tokens known to do so. Undefined: none is known. */
export function endTokens(metadata: Metadata): number[] | undefined {
  const named = ["eos", "eot", "eom"].map((name) => metadata.get(`tokenizer.ggml.${name}_token_id`));
  const ids = new Set(named.filter((id): id is number => typeof id === "number"));
  const texts = metadata.get("tokenizer.ggml.tokens");
  const kinds = metadata.get("tokenizer.ggml.token_type");
  if (Array.isArray(texts) && Array.isArray(kinds)) {
    for (const [id, text] of texts.entries()) {
      if (kinds[id] === tokenKinds.control && endTexts.has(text as string)) ids.add(id);
    }
  }
  return ids.size > 0 ? [...ids] : undefined;
}
