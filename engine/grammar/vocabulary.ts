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

export function tokenTree(vocabulary: Vocabulary): TokenTree {
  const { bytes, ends } = vocabulary;
  const order = sorted(vocabulary);
  const most = bytes.length + 1;
  const [byte, depth] = [new Uint8Array(most), new Uint16Array(most)];
  const [parent, end] = [new Int32Array(most), new Int32Array(most)];
  const [from, own] = [new Int32Array(most + 1), new Int32Array(most)];
  const path: number[] = [0]; // the nodes of the last token, by depth
  let [nodes, before, longest] = [1, -1, 0];
  for (let at = 0; at < order.length; at++) {
    const id = order[at]!;
    const [start, length] = [startOf(ends, id), ends[id]! - startOf(ends, id)];
    const shared = before < 0 ? 0 : sharedLength(vocabulary, before, id);
    for (let gone = shared + 1; gone < path.length; gone++) end[path[gone]!] = nodes;
    path.length = shared + 1;
    for (let d = shared + 1; d <= length; d++) {
      byte[nodes] = bytes[start + d - 1]!;
      depth[nodes] = d;
      parent[nodes] = path[d - 1]!;
      from[nodes] = at;
      path[d] = nodes++;
    }
    own[nodes - 1]! += 1;
    longest = Math.max(longest, length);
    before = id;
  }
  for (const node of path) end[node] = nodes;
  from[nodes] = order.length;
  return {
    byte: byte.slice(0, nodes),
    depth: depth.slice(0, nodes),
    parent: parent.slice(0, nodes),
    end: end.slice(0, nodes),
    from: from.slice(0, nodes + 1),
    own: own.slice(0, nodes),
    order,
    longest,
  };
}

function startOf(ends: Uint32Array, id: number): number {
  return id === 0 ? 0 : ends[id - 1]!;
}

/** How many bytes two tokens begin with together. */
function sharedLength({ bytes, ends }: Vocabulary, a: number, b: number): number {
  const [atA, atB] = [startOf(ends, a), startOf(ends, b)];
  const most = Math.min(ends[a]! - atA, ends[b]! - atB);
  let n = 0;
  while (n < most && bytes[atA + n] === bytes[atB + n]) n++;
  return n;
}

const SHORT_LIST = 20;

/** The ids of tokens with bytes, by these: a radix sort, which takes a third of the time that comparing texts does. */
function sorted(vocabulary: Vocabulary): Int32Array {
  const { bytes, ends } = vocabulary;
  const order = new Int32Array(ends.length).map((_, id) => id).filter((id) => ends[id]! > startOf(ends, id));
  const scratch = new Int32Array(order.length);
  /** 0 behind a token's end, else its byte and one. */
  const keyAt = (id: number, depth: number) => {
    const at = startOf(ends, id) + depth;
    return at < ends[id]! ? bytes[at]! + 1 : 0;
  };
  const compare = (a: number, b: number) => {
    const shared = sharedLength(vocabulary, a, b);
    return keyAt(a, shared) - keyAt(b, shared) || a - b;
  };
  const sort = (low: number, high: number, depth: number): void => {
    if (high - low <= SHORT_LIST) {
      order.subarray(low, high).sort(compare);
      return;
    }
    const places = new Int32Array(258);
    for (let i = low; i < high; i++) places[keyAt(order[i]!, depth) + 1]! += 1;
    for (let key = 1; key < 258; key++) places[key]! += places[key - 1]!;
    const starts = places.slice();
    for (let i = low; i < high; i++) scratch[low + places[keyAt(order[i]!, depth)]!++] = order[i]!;
    order.set(scratch.subarray(low, high), low);
    for (let key = 1; key < 257; key++)
      if (starts[key + 1]! - starts[key]! > 1) sort(low + starts[key]!, low + starts[key + 1]!, depth + 1);
  };
  sort(0, order.length, 0);
  return order;
}
