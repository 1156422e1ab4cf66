// A sequence's memory in the goldens' own layout.
import { readF32 } from "../gpu/readback.ts";
import type { LayerMemory } from "../models/network.ts";
import { readDeltaState } from "../ops/delta.ts";
import type { GoldenTensor } from "./golden.ts";
import { ownSlot, type Trace, type Tracer } from "./trace.ts";

/** Columns before the convolution that the next step needs. */
const columns = 3;

/** `cache.{i}.k`, `.v` [Nkv, T, D], `.delta_state` [Nv, Dk, Dv], `.conv_state` [C, 3] after `tokens` tokens. */
export async function readMemory(tracer: Tracer, tokens: number): Promise<Trace> {
  const all: Trace = new Map();
  for (const [i, layer] of tracer.memory.layers.entries()) {
    for (const [name, values] of await readLayer(tracer, layer, tokens))
      all.set(`cache.${tracer.firstLayer + i}.${name}`, values);
  }
  return all;
}

/** The goldens keep the last four columns; the oldest of them is never read again. */
export function asRead(name: string, golden: GoldenTensor): GoldenTensor {
  if (!name.endsWith("conv_state")) return golden;
  const kept = golden.shape.at(-1)!;
  const data = golden.data.filter((_, i) => i % kept >= kept - columns);
  return { shape: [...golden.shape.slice(0, -1), columns], data };
}

async function readLayer(
  tracer: Tracer,
  layer: LayerMemory,
  tokens: number,
): Promise<[string, Float32Array][]> {
  const { gpu } = tracer;
  if (layer.kind === "attention") {
    const { k, v, format } = layer.cache;
    if (format !== "f32") return []; // goldens are what was computed
    return [
      ["k", firstRows(await readF32(gpu, k), k.shape, tracer.pages, tokens)],
      ["v", firstRows(await readF32(gpu, v), v.shape, tracer.pages, tokens)],
    ];
  }
  const { ring, S } = await readDeltaState(gpu, layer.state, ownSlot);
  return [
    ["delta_state", S],
    ["conv_state", lastColumns(ring, layer.state.channels, tokens)],
  ];
}

/** From pages [pages, Nkv, PAGE, D] to the first `tokens` rows of a sequence that has these of them, [Nkv, tokens, D]. */
function firstRows(
  values: Float32Array,
  shape: readonly number[],
  pages: readonly number[],
  tokens: number,
): Float32Array {
  const [, heads, rows, D] = shape as [number, number, number, number];
  const out = new Float32Array(heads * tokens * D);
  for (let head = 0; head < heads; head += 1) {
    for (let t = 0; t < tokens; t += 1) {
      const row = (pages[Math.floor(t / rows)]! * heads + head) * rows + (t % rows);
      out.set(values.subarray(row * D, (row + 1) * D), (head * tokens + t) * D);
    }
  }
  return out;
}

/** From the ring [4, C], where position p lies in row p mod 4, to [C, 3], oldest first; zero before the start. */
function lastColumns(ring: Float32Array, C: number, tokens: number): Float32Array {
  const out = new Float32Array(C * columns);
  for (let j = 0; j < columns; j += 1) {
    const position = tokens - columns + j;
    if (position < 0) continue;
    for (let c = 0; c < C; c += 1) out[c * columns + j] = ring[(position % 4) * C + c]!;
  }
  return out;
}
