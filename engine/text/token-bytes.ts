// The exact bytes behind each token. A tokenizer stores bytes as text in one of two ways: byte-level
// (every byte has a printable stand-in, 'Ġ' is a space) or SentencePiece ('▁' is a space, <0x0A> a raw byte).

import { EngineError } from "../errors.ts";
import { isObject } from "./files.ts";

export interface TokenBytes {
  /** The bytes that a token of the vocabulary stands for. */
  of(token: string): Uint8Array;
  /** True when decoding drops one space at the very start of a text, which encoding had put there. */
  dropsFirstSpace: boolean;
}

const utf8 = new TextEncoder();

/** How the `decoder` of a tokenizer.json turns tokens into bytes; EngineError unsupported_model for other kinds. */
export function tokenBytes(decoder: unknown): TokenBytes {
  const steps = flatten(decoder);
  const kinds = steps.map((step) => String(step.type));
  if (kinds.includes("ByteLevel")) return { of: byteLevelBytes, dropsFirstSpace: false };
  if (kinds.includes("Metaspace") || kinds.includes("ByteFallback") || kinds.includes("Replace"))
    return { of: sentencePieceBytes, dropsFirstSpace: steps.some(dropsFirstSpace) };
  throw new EngineError(
    "unsupported_model",
    `tokenizer.json: decoder ${kinds.join(" + ") || "null"} is not supported (ByteLevel, Metaspace and ByteFallback are)`,
  );
}

function flatten(decoder: unknown): Record<string, unknown>[] {
  if (!isObject(decoder)) return [];
  return Array.isArray(decoder.decoders) ? decoder.decoders.flatMap(flatten) : [decoder];
}

function dropsFirstSpace(step: Record<string, unknown>): boolean {
  if (step.type === "Strip") return step.content === " " && Number(step.start) > 0;
  return step.type === "Metaspace" && step.prepend_scheme !== "never" && step.add_prefix_space !== false;
}

/** Printable Latin-1 stands for itself; the other bytes, in order, for U+0100 and up. */
const byteOfCharacter = new Map<string, number>();
for (let byte = 0, next = 256; byte < 256; byte++) {
  const printable = (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
  byteOfCharacter.set(String.fromCharCode(printable ? byte : next++), byte);
}

function byteLevelBytes(token: string): Uint8Array {
  const bytes: number[] = [];
  for (const character of token) {
    const byte = byteOfCharacter.get(character);
    if (byte === undefined) return utf8.encode(token);
    bytes.push(byte);
  }
  return Uint8Array.from(bytes);
}

function sentencePieceBytes(token: string): Uint8Array {
  const raw = /^<0x([0-9A-Fa-f]{2})>$/.exec(token);
  if (raw) return Uint8Array.of(parseInt(raw[1]!, 16));
  return utf8.encode(token.replaceAll("▁", " "));
}
