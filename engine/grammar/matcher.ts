// One answer held to a grammar: which tokens may come next, and which one came.
import { EngineError } from "../errors.ts";
import { DONE, Expressions, FAILED } from "./expression.ts";
import type { Grammar, NamedGrammar } from "./grammar.ts";
import { Masks } from "./masks.ts";
import { tokenTree, type TokenTree, type Vocabulary } from "./vocabulary.ts";

export interface Matcher {
  /**
   * The tokens that may come next, bit i of word ⌊i/32⌋ for token i; those that end the answer only where the grammar
   * may end. Not to be written to. Errors: internal when no token fits, bad_request when the grammar is too complex.
   */
  allowed(): Uint32Array;
  /** Takes a token that was allowed. */
  accept(token: number): void;
  /** Nothing more can come. */
  readonly ended: boolean;
}

interface Known {
  expressions: Expressions;
  masks: Masks;
}

/** Grammars kept, with at most 10 MB of masks and tables each. */
const mostGrammars = 8;
/** A grammar that has grown beyond this is followed from its start again; some 200 bytes each. */
const mostExpressions = 200_000;

/** The grammars of one model. */
export class Grammars {
  readonly #vocabulary: Vocabulary;
  readonly #size: number;
  readonly #known = new Map<string, Known>();
  #tree: TokenTree | undefined;

  /** `size`: of the logits, which may be more than the vocabulary has tokens. */
  constructor(vocabulary: Vocabulary, size: number) {
    this.#vocabulary = vocabulary;
    this.#size = size;
  }

  open({ key, grammar }: NamedGrammar): Matcher {
    const known = this.#known.get(key);
    this.#known.delete(key);
    const used = known && known.expressions.size < mostExpressions ? known : this.#create(grammar);
    this.#known.set(key, used);
    for (const [other, { expressions }] of this.#known)
      if (other !== key && expressions.size >= mostExpressions) this.#known.delete(other);
    if (this.#known.size > mostGrammars) this.#known.delete(this.#known.keys().next().value!);
    return createMatcher(used, this.#vocabulary);
  }

  #create(grammar: Grammar): Known {
    this.#tree ??= tokenTree(this.#vocabulary);
    const expressions = new Expressions(grammar);
    return { expressions, masks: new Masks(expressions, this.#tree, this.#size) };
  }
}

function createMatcher({ expressions, masks }: Known, { bytes, ends, stops }: Vocabulary): Matcher {
  let state = expressions.root;

  function allowed(): Uint32Array {
    const mask = bounded(() => masks.allowed(state));
    if (!expressions.isNullable(state)) {
      if (mask.some((word) => word !== 0)) return mask;
      const remains = expressions.describe(state);
      throw new EngineError(
        "internal",
        `no token of the vocabulary fits the grammar, where ${remains} remains`,
      );
    }
    const ending = mask.slice();
    for (const id of stops) ending[id >> 5]! |= 1 << (id & 31);
    return ending;
  }

  function accept(token: number): void {
    if (stops.includes(token)) return;
    const from = token === 0 ? 0 : ends[token - 1]!;
    for (let i = from; i < ends[token]!; i++) state = bounded(() => expressions.step(state, bytes[i]!));
    if (state === FAILED) throw new Error(`token ${token} was drawn against the grammar`);
  }

  return {
    allowed,
    accept,
    get ended() {
      return state === DONE;
    },
  };
}

/** A grammar that grows without bounds is its author's, not ours. */
function bounded<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new EngineError("bad_request", `the schema is too complex to be followed: ${error.message}`);
  }
}
