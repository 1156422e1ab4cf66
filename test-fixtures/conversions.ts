// node --import ./test-fixtures/typescript.mjs test-fixtures/conversions.ts THREADS
// Conversions of every type on worker threads; prints what came of them as JSON.
import { blockTypes } from "../engine/formats/blocks/format.ts";
import { f32ToBf16, f32ToF16 } from "../engine/formats/halves.ts";
import type { Conversion } from "../engine/formats/quantise/convert.ts";
import { openConverter } from "../engine/formats/quantise/pool.ts";
import type { EngineError } from "../engine/errors.ts";
import { randomBlocks, short, weights } from "./blocks.ts";

/** A job of every source and type. */
export function jobs(): Conversion[] {
  return blockTypes.flatMap((to): Conversion[] => {
    const x = weights();
    const K = 512;
    return [
      { from: "F32", to, K, rows: new Uint8Array(x.buffer) },
      { from: "F16", to, K, rows: new Uint8Array(f32ToF16(x).buffer) },
      { from: "BF16", to, K, rows: new Uint8Array(f32ToBf16(x).buffer) },
      { from: to, to, K: 256, rows: randomBlocks(to) },
    ];
  });
}

if (process.argv[1] === import.meta.filename) {
  const converter = openConverter(Number(process.argv[2]));
  const made = await Promise.all(jobs().map((job) => converter.convert(job)));
  const infinite: Conversion = { from: "BF16", to: "Q4_K", K: 256, rows: new Uint8Array(512).fill(0x7f) };
  new Uint16Array(infinite.rows.buffer).fill(0x7f80);
  const refused = await converter.convert(infinite).catch((error: unknown) => error);
  const left = converter.convert(jobs()[0]!).catch((error: Error) => error.message);
  await converter.close();
  const closed = await converter.convert(jobs()[0]!).catch((error: Error) => error.message);
  const { code, message } = refused as EngineError;
  console.log(JSON.stringify({ hashes: made.map(short), refused: { code, message }, left: await left, closed }));
}
