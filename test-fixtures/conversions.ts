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
    const between = { from: "F16", rows: new Uint8Array(f32ToF16(x.map((value) => -value)).buffer) } as const;
    return [
      { from: "F32", to, K, rows: new Uint8Array(x.buffer) },
      { from: "F32", to, K, rows: new Uint8Array(x.buffer), between },
      { from: "F16", to, K, rows: new Uint8Array(f32ToF16(x).buffer) },
      { from: "BF16", to, K, rows: new Uint8Array(f32ToBf16(x).buffer) },
      { from: to, to, K: 256, rows: randomBlocks(to) },
      { from: to, to, K: 256, rows: randomBlocks(to), between: { from: to, rows: randomBlocks(to).reverse() } },
    ];
  });
}

if (process.argv[1] === import.meta.filename) {
  const converter = openConverter(Number(process.argv[2]));
  const made: string[] = [];
  const hashed = jobs().map(({ rows, ...job }, i) => {
    const own = rows.slice();
    const converted = converter.convert({ ...job, rows: own }, (kept) => (made[i] = short(kept)));
    own.fill(1); // it has what it needs
    return converted;
  });
  await Promise.all(hashed);
  const infinite: Conversion = { from: "BF16", to: "Q4_K", K: 256, rows: new Uint8Array(512).fill(0x7f) };
  new Uint16Array(infinite.rows.buffer).fill(0x7f80);
  const nothing = () => undefined;
  const refused = await converter.convert(infinite, nothing).catch((error: unknown) => error);
  const left = converter.convert(jobs()[0]!, nothing).catch((error: Error) => error.message);
  await converter.close();
  const closed = await converter.convert(jobs()[0]!, nothing).catch((error: Error) => error.message);
  const { code, message } = refused as EngineError;
  console.log(JSON.stringify({ hashes: made, refused: { code, message }, left: await left, closed }));
}
