// Text to token ids and back. The ids come from @huggingface/tokenizers; the bytes of each id are ours, because
// a stream needs them token by token.

import { Tokenizer as HubTokenizer } from "@huggingface/tokenizers";
import { EngineError } from "../errors.ts";
import { createDetokenizer } from "./detokenize.ts";
import type { DetokenizeOptions, Detokenizer, TokenSource } from "./detokenize.ts";
import { isObject, readJsonObject, tokenText } from "./files.ts";
import type { JsonObject } from "./files.ts";
import { tokenBytes } from "./token-bytes.ts";

export interface Tokenizer extends TokenSource {
  /** Largest id + 1. The model may have more rows of logits than this; their ids have no text. */
  readonly vocabSize: number;
  /** Every id that ends an answer: of generation_config.json, config.json and the tokenizer's eos_token. */
  readonly eosIds: readonly number[];
  /** The ids of isSpecial. */
  readonly specialIds: readonly number[];
  /** The texts that chat templates know as bos_token and eos_token. */
  readonly bosToken: string | undefined;
  readonly eosToken: string | undefined;
  /**
   * Text to ids. Control tokens written in the text (`<|im_end|>`) become their ids.
   * `special: true` also lets the tokenizer add what its post-processor says, such as a BOS: right for a plain
   * completion, wrong for a rendered chat, whose template has written them already.
   */
  encode(text: string, options: { special: boolean }): number[];
  /** All ids at once; broken UTF-8 becomes U+FFFD. Special tokens vanish unless `special`. */
  decode(ids: readonly number[], options?: DetokenizeOptions): string;
  /** The exact bytes of a token; none for an id without text. */
  bytesOf(id: number): Uint8Array;
  /** True for control tokens, which are no part of an answer's text (tool and think markers are not special). */
  isSpecial(id: number): boolean;
  /** The id of a token given by its exact text, e.g. "<think>". */
  idOf(token: string): number | undefined;
  /** A new incremental decoder: one per answer. */
  detokenizer(options?: DetokenizeOptions): Detokenizer;
}

/** The files of a checkpoint that say something on tokens; only tokenizer.json must be there. */
export interface TokenizerFiles {
  tokenizer: JsonObject;
  tokenizerConfig?: JsonObject | undefined;
  generationConfig?: JsonObject | undefined;
  config?: JsonObject | undefined;
}

/** Reads a model folder. EngineError bad_checkpoint (missing, damaged) or unsupported_model (a decoder not known). */
export async function loadTokenizer(folder: string): Promise<Tokenizer> {
  const [tokenizer, tokenizerConfig, generationConfig, config] = await Promise.all(
    ["tokenizer.json", "tokenizer_config.json", "generation_config.json", "config.json"].map((name) =>
      readJsonObject(folder, name),
    ),
  );
  if (!tokenizer) throw new EngineError("bad_checkpoint", `${folder}: no tokenizer.json`);
  return createTokenizer({ tokenizer, tokenizerConfig, generationConfig, config });
}

export function createTokenizer(files: TokenizerFiles): Tokenizer {
  const settings = files.tokenizerConfig ?? {};
  const added = addedTokens(files.tokenizer, settings);
  const hub = openHubTokenizer({ ...files.tokenizer, added_tokens: added }, settings);
  const bytes = tokenBytes(files.tokenizer.decoder);
  const idOf = (token: string) => hub.token_to_id(token);
  const eosIds = findEosIds(files, idOf);

  const control = ["bos_token", "eos_token", "pad_token", "unk_token"].map((key) => tokenText(settings[key]));
  const special = new Set([
    ...added.filter((token) => token.special).map((token) => token.id),
    ...control.map((token) => (token === undefined ? undefined : idOf(token))),
    ...eosIds,
  ]);
  const table = bytesTable(hub, added, bytes.of);

  const source: TokenSource = {
    bytesOf: (id) => table[id] ?? new Uint8Array(),
    isSpecial: (id) => special.has(id),
    dropsFirstSpace: bytes.dropsFirstSpace,
  };
  return {
    ...source,
    vocabSize: table.length,
    eosIds,
    specialIds: [...special].filter((id) => id !== undefined),
    bosToken: tokenText(settings.bos_token),
    eosToken: tokenText(settings.eos_token),
    encode: (text, options) => hub.encode(text, { add_special_tokens: options.special }).ids,
    decode: (ids, options) => decodeAll(createDetokenizer(source, options), ids),
    idOf,
    detokenizer: (options) => createDetokenizer(source, options),
  };
}

function openHubTokenizer(tokenizer: JsonObject, settings: JsonObject): HubTokenizer {
  try {
    return new HubTokenizer(tokenizer, settings);
  } catch (error) {
    throw new EngineError("bad_checkpoint", `tokenizer.json: ${(error as Error).message}`);
  }
}

function decodeAll(detokenizer: Detokenizer, ids: readonly number[]): string {
  let text = "";
  for (const id of ids) text += detokenizer.push(id);
  return text + detokenizer.flush();
}

interface AddedToken {
  id: number;
  content: string;
  special: boolean;
}

/** The added tokens of tokenizer.json, and those which only tokenizer_config.json knows. */
function addedTokens(tokenizer: JsonObject, settings: JsonObject): AddedToken[] {
  const listed = Array.isArray(tokenizer.added_tokens) ? (tokenizer.added_tokens as AddedToken[]) : [];
  const known = new Set(listed.map((token) => token.id));
  const more = isObject(settings.added_tokens_decoder) ? settings.added_tokens_decoder : {};
  const extra = Object.entries(more).filter(([id, token]) => !known.has(Number(id)) && isObject(token));
  return [...listed, ...extra.map(([id, token]) => ({ ...(token as AddedToken), id: Number(id) }))];
}

/** Added tokens are written as they are; the others in the tokenizer's own alphabet. */
function bytesTable(
  hub: HubTokenizer,
  added: readonly AddedToken[],
  bytesOf: (token: string) => Uint8Array,
): (Uint8Array | undefined)[] {
  const table: (Uint8Array | undefined)[] = [];
  for (const [token, id] of hub.get_vocab(false)) if (token !== undefined) table[id] = bytesOf(token);
  const utf8 = new TextEncoder();
  for (const token of added) table[token.id] = utf8.encode(token.content);
  return table;
}

function findEosIds(files: TokenizerFiles, idOf: (token: string) => number | undefined): number[] {
  const eosToken = tokenText(files.tokenizerConfig?.eos_token);
  const text = files.config?.text_config;
  const ids = [
    ...idList(files.generationConfig?.eos_token_id),
    ...idList(files.config?.eos_token_id),
    ...(isObject(text) ? idList(text.eos_token_id) : []),
    ...(eosToken === undefined ? [] : idList(idOf(eosToken))),
  ];
  return [...new Set(ids)];
}

function idList(value: unknown): number[] {
  return (Array.isArray(value) ? value : [value]).filter((id): id is number => Number.isInteger(id));
}
