// A tokenizer's vocabulary as plain bytes, and as a tree of bytes in which masks are found.

/** Every token's bytes, one behind the other; token i ends at ends[i]. A token without bytes is never allowed. */
export interface Vocabulary {
  bytes: Uint8Array;
  ends: Uint32Array;
  /** Tokens that end an answer. */
  stops: readonly number[];
  /** Decoding drops one space at the start of an answer. */
  dropsFirstSpace: boolean;
}

/** What a vocabulary is made from. */
interface TokenSource {
  readonly vocabSize: number;
  readonly eosIds: readonly number[];
  readonly dropsFirstSpace: boolean;
  bytesOf(id: number): Uint8Array;
  isSpecial(id: number): boolean;
}

/** Control tokens have no text in an answer, so no grammar can ask for them. */
export function vocabularyOf(tokenizer: TokenSource): Vocabulary {
  const tokens = Array.from({ length: tokenizer.vocabSize }, (_, id) =>
    tokenizer.isSpecial(id) ? new Uint8Array() : tokenizer.bytesOf(id),
  );
  const bytes = new Uint8Array(tokens.reduce((sum, token) => sum + token.length, 0));
  const ends = new Uint32Array(tokens.length);
  let end = 0;
  tokens.forEach((token, id) => {
    bytes.set(token, end);
    ends[id] = end += token.length;
  });
  return { bytes, ends, stops: tokenizer.eosIds, dropsFirstSpace: tokenizer.dropsFirstSpace };
}

/**
 * The tokens' bytes as a tree, in preorder. Node 0 is the root, without a byte; the tokens under node i are
 * order[from[i]] … order[from[end[i]] - 1], and the first `own[i]` of them end there.
 */
export interface TokenTree {
  byte: Uint8Array;
  depth: Uint16Array;
  parent: Int32Array;
  /** The node behind the last one under this. */
  end: Int32Array;
  from: Int32Array;
  own: Int32Array;
  /** Token ids, ordered by their bytes. */
  order: Int32Array;
  /** The longest token, bytes. */
  longest: number;
}

export function tokenTree({ bytes, ends }: Vocabulary): TokenTree {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
  const tokens = Array.from(ends, (end, id) => ({ id, text: text.slice(id === 0 ? 0 : ends[id - 1], end) }))
    .filter((token) => token.text !== "")
    .sort((a, b) => (a.text < b.text ? -1 : a.text > b.text ? 1 : a.id - b.id));
  const [byte, depth, from, own]: [number[], number[], number[], number[]] = [[0], [0], [0], [0]];
  let before = "";
  tokens.forEach((token, at) => {
    const shared = sharedLength(before, token.text);
    for (let i = shared; i < token.text.length; i++) {
      byte.push(token.text.charCodeAt(i));
      depth.push(i + 1);
      from.push(at);
      own.push(0);
    }
    own[own.length - 1]! += 1;
    before = token.text;
  });
  from.push(tokens.length);
  return {
    byte: Uint8Array.from(byte),
    depth: Uint16Array.from(depth),
    parent: parentsOf(depth),
    end: endsOf(depth),
    from: Int32Array.from(from),
    own: Int32Array.from(own),
    order: Int32Array.from(tokens, (token) => token.id),
    longest: depth.reduce((a, b) => Math.max(a, b), 0),
  };
}

function sharedLength(a: string, b: string): number {
  let n = 0;
  while (n < a.length && n < b.length && a.charCodeAt(n) === b.charCodeAt(n)) n++;
  return n;
}

function parentsOf(depth: readonly number[]): Int32Array {
  const path: number[] = [];
  return Int32Array.from(depth, (d, i) => {
    path[d] = i;
    return d === 0 ? 0 : path[d - 1]!;
  });
}

/** The next node that is no deeper. */
function endsOf(depth: readonly number[]): Int32Array {
  const end = new Int32Array(depth.length);
  const open: number[] = [];
  depth.forEach((d, i) => {
    while (open.length > 0 && depth[open.at(-1)!]! >= d) end[open.pop()!] = i;
    open.push(i);
  });
  for (const i of open) end[i] = depth.length;
  return end;
}
