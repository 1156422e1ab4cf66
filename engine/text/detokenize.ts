// Token by token from bytes to text, holding back the bytes of a character until it is whole.

export interface DetokenizeOptions {
  /** The text goes on from an earlier one, so a first space belongs to it. Default false. */
  continues?: boolean;
  /** Special tokens are text too. Default false: they vanish. */
  special?: boolean;
}

export interface Detokenizer {
  /** The text that this token completes; "" while a character is still missing bytes. */
  push(id: number): string;
  /** What is left: a broken character at the end becomes U+FFFD. */
  flush(): string;
}

/** What a detokenizer must know of a tokenizer. */
export interface TokenSource {
  bytesOf(id: number): Uint8Array;
  isSpecial(id: number): boolean;
  dropsFirstSpace: boolean;
}

export function createDetokenizer(source: TokenSource, options: DetokenizeOptions = {}): Detokenizer {
  const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
  let atStart = source.dropsFirstSpace && options.continues !== true;

  function trimmed(text: string): string {
    if (!atStart || text === "") return text;
    atStart = false;
    return text.startsWith(" ") ? text.slice(1) : text;
  }

  return {
    push(id) {
      if (options.special !== true && source.isSpecial(id)) return "";
      return trimmed(utf8.decode(source.bytesOf(id), { stream: true }));
    },
    flush: () => trimmed(utf8.decode()),
  };
}
