// A request for embeddings: its inputs as prompts, several of them on the device at once, and their vectors.
import { EngineError } from "../errors.ts";
import type { EmbeddingRequest, ModelInfo } from "./types.ts";

/** Most inputs of a request. */
const mostInputs = 2048;

/** Errors: bad_request, with the parameter's name, for a model that makes text, no inputs or too many, wrong dimensions. */
export function checkEmbedding({ inputs, dimensions }: EmbeddingRequest, info: ModelInfo): void {
  const width = info.embeddingWidth;
  if (width === undefined) {
    const text =
      "this model makes text, not embeddings; load an embedding checkpoint such as Qwen3-Embedding";
    throw new EngineError("bad_request", text, { param: "model" });
  }
  if (inputs.length === 0 || inputs.length > mostInputs) {
    const text = `input: expected 1 to ${mostInputs} inputs, got ${inputs.length}`;
    throw new EngineError("bad_request", text, { param: "input" });
  }
  if (dimensions === undefined || (Number.isInteger(dimensions) && dimensions >= 1 && dimensions <= width))
    return;
  const text = `dimensions: expected 1 to ${width}, got ${dimensions}`;
  throw new EngineError("bad_request", text, { param: "dimensions" });
}

/** The first `dimensions` of a vector, of unit length; sums in f64. */
export function unit(vector: Float32Array, dimensions = vector.length): Float32Array {
  const part = vector.slice(0, dimensions);
  const length = Math.sqrt(part.reduce((sum, value) => sum + value * value, 0));
  return length === 0 ? part : part.map((value) => value / length);
}

/**
 * The results of `work` over the items, in their order; `width` of them at a time. After a failure none begins, and it is
 * thrown when those under way have ended.
 */
export async function sideBySide<T, R>(
  items: readonly T[],
  width: number,
  work: (item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  let failure: { error: unknown } | undefined;
  async function lane(): Promise<void> {
    while (next < items.length && !failure) {
      const at = next++;
      try {
        results[at] = await work(items[at]!);
      } catch (error) {
        failure ??= { error };
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, lane));
  if (failure) throw (failure as { error: unknown }).error;
  return results;
}
